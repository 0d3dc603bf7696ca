/* SPDX-License-Identifier: MIT */
/* The GDT, where paging.c keeps it mapped. There is no task, so a double fault has no stack of
 * its own. */
#include "kernel.h"
#include "paravirt.h"

static const uint64_t gdt[] = {
    [KERNEL_CS / 8] = DESCRIPTOR_CODE,
    [KERNEL_DS / 8] = DESCRIPTOR_DATA,
};

void pv_load_segments(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof(gdt) - 1, (uintptr_t)gdt};

	/* The boot GDT's selectors mean the same here. */
	__asm__ volatile("lgdt %0" : : "m"(pointer));
}
