/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only. It must not use pv ops, whose
 * sites it changes.
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
	write_cr0(cr0); /* also serializes: the new code is executed from here on */
	write_flags(flags);
}
