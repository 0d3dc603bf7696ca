/* SPDX-License-Identifier: MIT */
/* Checks of the ops, and the sites, that only x86 has: identification, and model-specific
 * registers. */
#include "check.h"
#include "paravirt.h"
#include "shim.h"
#include "sites.h"

static void check_instructions(struct report *report)
{
	struct cpuid id = pv_cpuid(SHIM_LEAF, 0);

	check_op(report, "cpuid", SHIM_CPUID, !memcmp(&id.ebx, report->vendor, 12),
		 report->hypervisor);
	check_op(report, "rdmsr", SHIM_RDMSR, pv_rdmsr(MSR_EFER), rdmsr(MSR_EFER));
	pv_wrmsr(MSR_SCRATCH, KERNEL_BASE);
	check_op(report, "wrmsr", SHIM_WRMSR, rdmsr(MSR_SCRATCH), KERNEL_BASE);
}

static void check_slots(struct report *report)
{
	unsigned long efer = rdmsr(MSR_EFER);

	check_op(report, "site-slot-call", SHIM_RDMSR, site_slot_call(MSR_EFER), efer);
	site_slot_jump(MSR_SCRATCH, 0x5678);
	check_op(report, "site-slot-jump", SHIM_WRMSR, rdmsr(MSR_SCRATCH), 0x5678);
	check_op(report, "site-slot-call-absolute", SHIM_RDMSR, site_slot_call_absolute(MSR_EFER),
		 efer);
	site_slot_jump_absolute(MSR_SCRATCH, 0x9abc);
	check_op(report, "site-slot-jump-absolute", SHIM_WRMSR, rdmsr(MSR_SCRATCH), 0x9abc);
}

void check_cpu(struct report *report)
{
	check_instructions(report);
	check_slots(report);
}
