/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only. It must not use pv ops, whose
 * sites it changes.
 */
#include "kernel.h"
#include "xen.h"

void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags, cr0;

	(void)context;
	if (xen_running) {
		xen_write(site, bytes, length);
		return;
	}
	flags = read_flags();
	cr0 = read_cr0();
	__asm__ volatile("cli");
	write_cr0(cr0 & ~(unsigned long)CR0_WP);
	memcpy(site, bytes, length);
	write_cr0(cr0); /* also serializes: the new code is executed from here on */
	write_flags(flags);
}
