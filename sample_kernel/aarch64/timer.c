/* SPDX-License-Identifier: MIT */
/* The virtual timer: it interrupts when the counter is at what was set, or later. */
#include "kernel.h"
#include "paravirt.h"
#include "smp.h"

enum { HERTZ = 250, LOAD_HERTZ = 2000, ENABLED = 1, PENDING = 4 }; /* bits of CNTV_CTL_EL0 */

static bool again, under_load;

static void control(unsigned long bits)
{
	__asm__ volatile("msr cntv_ctl_el0, %0; isb" : : "r"(bits) : "memory");
}

static unsigned long period(unsigned hertz)
{
	unsigned long frequency;

	__asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
	return frequency / hertz;
}

static void init(void)
{
}

static void start(void)
{
	again = true;
	pv_set_timer(read_time() + period(HERTZ));
	control(ENABLED);
}

static void once(void)
{
	again = false;
	pv_set_timer(read_time() + 10);
	control(ENABLED);
}

void smp_timer_start(void)
{
	under_load = true;
	pv_set_timer(read_time() + period(LOAD_HERTZ));
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

void smp_timer_stop(void)
{
	stop();
	under_load = false;
}

static bool acknowledge(void)
{
	if (under_load) {
		pv_set_timer(read_time() + period(LOAD_HERTZ));
		__asm__ volatile("isb" : : : "memory");
		smp_timer_interrupt();
		return false;
	}
	pv_set_timer(again ? read_time() + period(HERTZ) : -1ul);
	__asm__ volatile("isb" : : : "memory");
	return true;
}

const struct timer machine_timer = {init, start, once, stop, pending, acknowledge};
