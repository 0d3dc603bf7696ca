/* SPDX-License-Identifier: MIT */
/* Processors by PSCI, their interrupts by the GIC, and the part of load.c that is of aarch64
 * alone. */
#include "smp.h"
#include "gic.h"
#include "paravirt.h"
#include "start.h"

extern const char live_vectors[]; /* live_entry.S */

bool smp_start_processor(unsigned long number, unsigned long start)
{
	return !pv_psci(PSCI_CPU_ON, number, start, 0);
}

void smp_listen(void)
{
	__asm__ volatile("msr vbar_el1, %0; isb" : : "r"(live_vectors));
}

void smp_summon(void)
{
	__asm__ volatile("dsb ish" : : : "memory"); /* the other sees what was written before */
	*gic(GIC_DISTRIBUTOR, SOFTWARE) = TO_OTHERS | SUMMONS_INTERRUPT;
}

/* Called by live_entry.S: whether the interrupt that waits is a summons. */
bool smp_is_summoned(void);

bool smp_is_summoned(void)
{
	return (*gic(GIC_PROCESSOR, HIGHEST_PENDING) & INTERRUPT_NUMBER) == SUMMONS_INTERRUPT;
}

void smp_acknowledge(void)
{
	*gic(GIC_PROCESSOR, END) = *gic(GIC_PROCESSOR, ACKNOWLEDGE);
}

/* The shim has the one bit only. */
bool load_plausible(unsigned long flags)
{
	return !(flags & ~0x3c0ul);
}

void load_cpu(void)
{
	long version = pv_psci(PSCI_VERSION, 0, 0, 0);
	unsigned long entries[2] = {0, 0}, *entry = entries;

	pv_set_pte_next(&entry, PTE_PAGE);
	EXPECT(entries[0] == PTE_PAGE && entry == entries + 1);
	EXPECT(version == SHIM_PSCI_VERSION || version >> 16 <= 1);
}
