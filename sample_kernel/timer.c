/* SPDX-License-Identifier: MIT */
/* Ticks of the machine's timer, or of Xen; the shim may delay their delivery. */
#include "kernel.h"
#include "shim.h"
#include "xen.h"

volatile unsigned long ticks;
static const struct timer *timer;

void timer_init(void)
{
	timer = XEN_TIMER_OR(&machine_timer);
	timer->init();
}

void timer_start(void)
{
	timer->start();
}

void timer_once(void)
{
	timer->once();
}

void timer_stop(void)
{
	timer->stop();
}

void timer_interrupt(unsigned long irq)
{
	if (timer->acknowledge())
		ticks += shim_deliver(flags_are_on(irq));
}

bool timer_pending(void)
{
	return timer->pending() || shim_pending;
}
