/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only. It must not use pv ops, whose
 * sites it changes.
 */
#include "kernel.h"
#include "xen.h"

unsigned long poke_begin(void)
{
	unsigned long cr0 = read_cr0();

	write_cr0(cr0 & ~(unsigned long)CR0_WP);
	return cr0;
}

void poke_end(unsigned long begun)
{
	write_cr0(begun); /* also serializes: the new code is executed from here on */
}

void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags, cr0;

	(void)context;
	if (xen_running) {
		xen_write(site, bytes, length);
		return;
	}
	flags = read_flags();
	__asm__ volatile("cli");
	cr0 = poke_begin();
	memcpy(site, bytes, length);
	poke_end(cr0);
	write_flags(flags);
}
