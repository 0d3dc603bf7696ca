/* SPDX-License-Identifier: MIT */
/* For virt/poke.c: page tables and caches, without pv ops. */
#ifndef POKE_H
#define POKE_H

#include <stdint.h>

static inline void use_root(unsigned long root)
{
	__asm__ volatile("dsb ish; msr ttbr1_el1, %0; isb; tlbi vmalle1; dsb ish; isb"
			 :
			 : "r"(root)
			 : "memory");
}

/*
 * Makes code that was written visible to the instruction fetch (Arm ARM DDI 0487, B2.2.5,
 * "Concurrent modification and execution of instructions"). Each other processor needs an ISB of
 * its own, or an exception.
 */
static inline void publish(uintptr_t site, uint32_t length)
{
	enum { LINE = 16 }; /* bytes of the shortest possible line of a cache */
	uintptr_t start = site & -LINE, end = site + length;

	for (uintptr_t at = start; at < end; at += LINE)
		__asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb ish" : : : "memory");
	for (uintptr_t at = start; at < end; at += LINE)
		__asm__ volatile("ic ivau, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb ish; isb" : : : "memory");
}

#endif
