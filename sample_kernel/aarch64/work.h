/* SPDX-License-Identifier: MIT */
/* For work.c: the counter of instructions, and work that is of aarch64 alone. */
#ifndef WORK_H
#define WORK_H

#include "paravirt.h"

#define WORK_PTE PTE_DATA
#define WORK_PTE_BIT (1ul << PTE_SOFTWARE_BIT)

/* Event counter 0 of the PMU, for the event INST_RETIRED (Arm ARM DDI 0487, "The Performance
 * Monitors Extension"). */
static inline void counter_start(void)
{
	enum { INST_RETIRED = 8, FIRST = 1, ENABLED = 1 };

	__asm__ volatile("msr pmevtyper0_el0, %0; msr pmcntenset_el0, %1; msr pmcr_el0, %2; isb"
			 :
			 : "r"(INST_RETIRED + 0ul), "r"(FIRST + 0ul), "r"(ENABLED + 0ul)
			 : "memory");
}

static inline uint32_t counter(void)
{
	unsigned long value;

	__asm__ volatile("mrs %0, pmevcntr0_el0" : "=r"(value) : : "memory");
	return value;
}

/* Sets an entry, and goes on to the next one. */
static inline void work_set_pte(unsigned long **entry, unsigned long pte)
{
	pv_set_pte_next(entry, pte);
}

static inline unsigned long work_cpu(unsigned long round)
{
	pv_set_timer(-1ul - round);
	return 0;
}

#endif
