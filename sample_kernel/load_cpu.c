/* SPDX-License-Identifier: MIT */
/* The part of load.c that is of x86 alone. */
#include "paravirt.h"
#include "shim.h"
#include "sites.h"
#include "smp.h"

/* The shim's flags are the interrupt flag alone; bit 1 of the processor's is always set. */
bool load_plausible(unsigned long flags)
{
	return flags == 0 || flags == FLAGS_IF || (flags & 2 && flags < 1 << 12);
}

static bool is_cpuid(const struct cpuid *found)
{
	struct cpuid native = cpuid(SHIM_LEAF, 0);
	bool shim = !memcmp(&found->ebx, SHIM_VENDOR, 12);

	return found->eax == native.eax && (shim || !memcmp(found, &native, sizeof(native)));
}

void load_cpu(void)
{
	uint64_t efer = rdmsr(MSR_EFER);
	struct cpuid id = pv_cpuid(SHIM_LEAF, 0);

	EXPECT(is_cpuid(&id));
	EXPECT(pv_rdmsr(MSR_EFER) == efer);
	EXPECT(site_slot_call(MSR_EFER) == efer);
	EXPECT(site_slot_call_absolute(MSR_EFER) == efer);
	pv_wrmsr(MSR_SYSENTER_EIP, 0x1234);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x1234);
	site_slot_jump(MSR_SYSENTER_EIP, 0x5678);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x5678);
	site_slot_jump_absolute(MSR_SYSENTER_EIP, 0x9abc);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x9abc);
}
