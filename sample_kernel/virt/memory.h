/* SPDX-License-Identifier: MIT */
/* Memory, for arch.h of the architectures that have QEMU's machine `virt`; before it KERNEL_BASE is
 * defined. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

/* The barriers keep the compiler from calling memcpy and memset for these loops. */
static inline void copy_bytes(void *to, const void *from, unsigned long size)
{
	const char *source = from;

	for (char *byte = to; size; size--) {
		*byte++ = *source++;
		__asm__ volatile("" : : : "memory");
	}
}

static inline void set_bytes(void *to, int value, unsigned long size)
{
	for (char *byte = to; size; size--) {
		*byte++ = value;
		__asm__ volatile("" : : : "memory");
	}
}

static inline unsigned long physical(const void *address)
{
	return (uintptr_t)address - KERNEL_BASE;
}

static inline void *virtual(unsigned long address)
{
	return (void *)(address + KERNEL_BASE);
}

#endif
