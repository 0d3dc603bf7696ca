/* SPDX-License-Identifier: MIT */
/* For work.c: the counter of instructions, and work that is of x86 alone. */
#ifndef WORK_H
#define WORK_H

#include "paravirt.h"

#define WORK_PTE (PTE_PRESENT | PTE_WRITE)
#define WORK_PTE_BIT PTE_ACCESSED /* may be set or not */

/* The time stamp counter, which counts instructions in an emulator with that option. */
static inline void counter_start(void)
{
}

static inline uint32_t counter(void)
{
	return rdtsc();
}

/* Sets an entry, and goes on to the next one. */
static inline void work_set_pte(unsigned long **entry, unsigned long pte)
{
	pv_set_pte(*entry, pte);
	++*entry;
}

/* What the processor has that others have not; a sum, so that it is used. */
static inline unsigned long work_cpu(unsigned long round)
{
	unsigned long sum = pv_cpuid(0, 0).ebx;

	pv_wrmsr(MSR_SCRATCH, pv_rdmsr(MSR_SCRATCH) + round);
	return sum;
}

#endif
