/* SPDX-License-Identifier: MIT */
/*
 * The kernel as a PVH domain of Xen: privileged, on virtual hardware without the timer of a PC. The
 * local APIC's ticks instead, in Xen's cycles of 10 ns.
 */
#include "apic.h"
#include "kernel.h"
#include "paravirt.h"
#include "xen.h"

enum { PERIOD = 400000, SOON = 100 };

bool xen_pvh(void)
{
	struct cpuid id = cpuid(XEN_LEAF, 0);

	return !xen_running && !memcmp(&id.ebx, XEN_VENDOR, 12);
}

static void init(void)
{
	smp_apic_init();
}

static void start(void)
{
	smp_timer(PERIOD, VECTOR_IRQ);
}

static void stop(void)
{
	smp_timer(0, VECTOR_IRQ);
}

static void once(void)
{
	smp_timer(SOON, VECTOR_IRQ);
}

static bool pending(void)
{
	return smp_requested(VECTOR_IRQ);
}

static bool acknowledge(void)
{
	smp_end_of_interrupt();
	return true;
}

const struct timer xen_pvh_timer = {init, start, once, stop, pending, acknowledge};
