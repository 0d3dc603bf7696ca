/* SPDX-License-Identifier: MIT */
/*
 * Writing to text and read-only data, which paging.c maps without the right to. It must not use pv
 * ops: it is what changes them.
 */
#include "kernel.h"

void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags = read_flags();
	unsigned long cr0 = read_cr0();

	(void)context;
	__asm__ volatile("cli");
	write_cr0(cr0 & ~(unsigned long)CR0_WP);
	memcpy(site, bytes, length);
	write_cr0(cr0); /* serializes too: the new code runs from here on */
	write_flags(flags);
}
