/* SPDX-License-Identifier: MIT */
/* The timer of "Sstc", or SBI's: it interrupts when the time is that which was set, or later. */
#include "kernel.h"
#include "paravirt.h"
#include "smp.h"

enum {
	PERIOD = 40000,
	LOAD_PERIOD = 5000
}; /* 250 and 2000 times a second, as `virt` counts 10 million */

static bool again, under_load;

static void init(void)
{
}

static void begin(unsigned long period)
{
	pv_set_timer(read_time() + period);
	__asm__ volatile("csrs sie, %0" : : "r"(STIE) : "memory");
}

static void start(void)
{
	again = true;
	begin(PERIOD);
}

static void once(void)
{
	again = false;
	begin(10);
}

void smp_timer_start(void)
{
	under_load = true;
	begin(LOAD_PERIOD);
}

static void stop(void)
{
	__asm__ volatile("csrc sie, %0" : : "r"(STIE) : "memory");
	pv_set_timer(-1ul);
}

static bool pending(void)
{
	unsigned long bits;

	__asm__ volatile("csrr %0, sip" : "=r"(bits) : : "memory");
	return bits & STIE;
}

void smp_timer_stop(void)
{
	stop();
	under_load = false;
}

static bool acknowledge(void)
{
	if (under_load) {
		pv_set_timer(read_time() + LOAD_PERIOD);
		smp_timer_interrupt();
		return false;
	}
	pv_set_timer(again ? read_time() + PERIOD : -1ul);
	return true;
}

const struct timer machine_timer = {init, start, once, stop, pending, acknowledge};
