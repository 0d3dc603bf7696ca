/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only: by the page table of boot.S,
 * which maps all memory writable. It must not use pv ops, whose sites it changes.
 */
#include "kernel.h"

extern char boot_root[]; /* boot.S */

static void use(unsigned long root)
{
	__asm__ volatile("csrw satp, %0; sfence.vma" : : "r"(root) : "memory");
}

void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags = read_flags(), root = read_root();

	(void)context;
	flags_off();
	use(ROOT_OF(physical(boot_root)));
	memcpy(site, bytes, length);
	use(root);
	__asm__ volatile("fence.i" : : : "memory");
	if (flags)
		flags_on();
}
