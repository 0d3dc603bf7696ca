/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only: by the page table of boot.S,
 * which maps all memory writable. It must not use pv ops, whose sites it changes.
 */
#include "kernel.h"

enum { LINE = 16 }; /* bytes of the shortest possible line of a cache */

extern char boot_root[]; /* boot.S */

static void use(unsigned long root)
{
	__asm__ volatile("dsb ish; msr ttbr1_el1, %0; isb; tlbi vmalle1; dsb ish; isb"
			 :
			 : "r"(root)
			 : "memory");
}

void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags = read_flags(), root = read_root();
	uintptr_t at = (uintptr_t)site & -LINE;

	(void)context;
	flags_off();
	use(ROOT_OF(physical(boot_root)));
	memcpy(site, bytes, length);
	for (; at < (uintptr_t)site + length; at += LINE)
		__asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
	use(root);
	__asm__ volatile("ic ialluis; dsb ish; isb" : : : "memory");
	write_flags(flags);
}
