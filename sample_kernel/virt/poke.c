/* SPDX-License-Identifier: MIT */
/*
 * Writes to text and read-only data, which paging.c maps read-only: by the page table of boot.S,
 * which maps all memory writable. It must not use pv ops, whose sites it changes.
 */
#include "poke.h"
#include "buildplug.h"
#include "kernel.h"

extern char boot_root[]; /* boot.S */

unsigned long poke_begin(void)
{
	unsigned long root = read_root();

	use_root(ROOT_OF(physical(boot_root)));
	return root;
}

void poke_end(unsigned long begun)
{
	use_root(begun);
}

/* Writes instructions by words, so that none is torn. */
void poke(void *context, void *site, const void *bytes, uint32_t length)
{
	unsigned long flags = read_flags(), root;

	flags_off();
	root = poke_begin();
	bp_write(context, site, bytes, length);
	publish((uintptr_t)site, length);
	poke_end(root);
	write_flags(flags);
}
