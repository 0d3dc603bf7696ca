/* SPDX-License-Identifier: MIT */
/* Checks of the ops that only aarch64 has. */
#include "check.h"
#include "paravirt.h"

enum { OLDEST = 2, NEWEST = 0x1000f }; /* 0.2, and any 1.x that is known */
#define TIMER_MASKED 3ul	       /* of CNTV_CTL_EL0: it counts, and does not interrupt */

void check_cpu(struct report *report)
{
	long version = pv_psci(PSCI_VERSION, 0, 0, 0);
	unsigned long entries[2] = {0, 0}, *entry = entries;

	check_op(report, "psci", SHIM_PSCI,
		 version == SHIM_PSCI_VERSION || (version >= OLDEST && version <= NEWEST), true);
	check(report, "psci-of-shim", version == SHIM_PSCI_VERSION, report->shim);
	pv_set_pte_next(&entry, PTE_PAGE);
	check_op(report, "set_pte_next", SHIM_SET_PTE, entries[0], PTE_PAGE);
	check(report, "set_pte_next-next", entry - entries, 1);
	__asm__ volatile("msr cntv_ctl_el0, %0" : : "r"(TIMER_MASKED) : "memory");
	pv_set_timer(0);
	check_op(report, "set_timer", SHIM_SET_TIMER, machine_timer.pending(), true);
	pv_set_timer(-1ul);
	check_op(report, "set_timer-off", SHIM_SET_TIMER, machine_timer.pending(), false);
	machine_timer.stop();
}
