/* SPDX-License-Identifier: MIT */
/* The timer of "Sstc", or SBI's: it interrupts when the time is that which was set, or later. */
#include "kernel.h"
#include "paravirt.h"

enum { PERIOD = 40000 }; /* 250 times a second, as `virt` counts 10 million */

static bool again;

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

static bool acknowledge(void)
{
	pv_set_timer(again ? read_time() + PERIOD : -1ul);
	return true;
}

const struct timer machine_timer = {init, start, once, stop, pending, acknowledge};
