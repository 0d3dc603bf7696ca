/* SPDX-License-Identifier: MIT */
/* For work.c: the counter of instructions, and work that is of riscv64 alone. */
#ifndef WORK_H
#define WORK_H

#include "paravirt.h"

#define WORK_PTE PTE_DATA
#define WORK_PTE_BIT PTE_SOFTWARE

/* The instructions that the hart has retired; the firmware has let S-mode read them. */
static inline void counter_start(void)
{
}

static inline uint32_t counter(void)
{
	unsigned long value;

	__asm__ volatile("rdinstret %0" : "=r"(value) : : "memory");
	return value;
}

/* Sets an entry, and goes on to the next one. */
static inline void work_set_pte(unsigned long **entry, unsigned long pte)
{
	pv_set_pte(*entry, pte);
	++*entry;
}

static inline unsigned long work_cpu(unsigned long round)
{
	pv_set_timer(-1ul - round);
	return 0;
}

#endif
