/* SPDX-License-Identifier: MIT */
/* The virtual timer: it interrupts when the counter is at what was set, or later. */
#include "kernel.h"
#include "paravirt.h"

enum { HERTZ = 250, ENABLED = 1, PENDING = 4 }; /* bits of CNTV_CTL_EL0 */

static bool again;

static void control(unsigned long bits)
{
	__asm__ volatile("msr cntv_ctl_el0, %0; isb" : : "r"(bits) : "memory");
}

static unsigned long period(void)
{
	unsigned long frequency;

	__asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
	return frequency / HERTZ;
}

static void init(void)
{
}

static void start(void)
{
	again = true;
	pv_set_timer(read_time() + period());
	control(ENABLED);
}

static void once(void)
{
	again = false;
	pv_set_timer(read_time() + 10);
	control(ENABLED);
}

static void stop(void)
{
	control(0);
}

static bool pending(void)
{
	unsigned long bits;

	__asm__ volatile("isb; mrs %0, cntv_ctl_el0" : "=r"(bits) : : "memory");
	return bits & PENDING;
}

static bool acknowledge(void)
{
	pv_set_timer(again ? read_time() + period() : -1ul);
	__asm__ volatile("isb" : : : "memory");
	return true;
}

const struct timer machine_timer = {init, start, once, stop, pending, acknowledge};
