/* SPDX-License-Identifier: MIT */
/* Checks of the ops that only riscv64 has, and that the firmware is called by the backend "sbi"
 * alone. */
#include "check.h"
#include "paravirt.h"
#include "sbi.h"

void check_cpu(struct report *report)
{
	unsigned long sbi = !strcmp(backend_name, "sbi");
	uint32_t before[SBI_OPS];

	memcpy(before, (const void *)sbi_calls, sizeof(before));
	pv_set_timer(0);
	check_op(report, "set_timer", SHIM_SET_TIMER, machine_timer.pending(), true);
	check(report, "sbi-set_timer", sbi_calls[SBI_OP_SET_TIMER] - before[SBI_OP_SET_TIMER], sbi);
	pv_set_timer(-1ul);
	check_op(report, "set_timer-off", SHIM_SET_TIMER, machine_timer.pending(), false);
	pv_flush_tlb();
	check(report, "sbi-flush_tlb", sbi_calls[SBI_OP_FLUSH_TLB] - before[SBI_OP_FLUSH_TLB], sbi);
	check(report, "sbi-errors", sbi_errors, 0);
	check(report, "sbi-put", sbi_calls[SBI_OP_PUT] != before[SBI_OP_PUT], sbi);
}
