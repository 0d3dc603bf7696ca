/* SPDX-License-Identifier: MIT */
/* The symbols that three links have made: what buildplug replaces. */
#include "kernel.h"

extern const struct {
	uint64_t address;
	const char *name;
} symtab[];

void print_own_symbol(uintptr_t address)
{
	const char *name = "?";

	for (unsigned at = 0; symtab[at].address && symtab[at].address < address; at++)
		name = symtab[at].name;
	print(" ");
	print(name);
}
