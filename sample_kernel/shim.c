/* SPDX-License-Identifier: MIT */
/*
 * A backend like that of a hypervisor such as lguest: the kernel's interrupt flag is a word in
 * memory and the processor's stays on, page table entries have a format of their own, and every
 * call is counted. This is the hypervisor's side; most ops are in shim_entry.S.
 */
#include "shim.h"
#include "kernel.h"

volatile unsigned long shim_if;
volatile uint32_t shim_pending;
volatile uint32_t shim_calls[SHIM_OPS];
static bool running;

void shim_start(void)
{
	running = true;
	flags_on();
}

/* The number of ticks to deliver at this timer interrupt. */
uint32_t shim_deliver(bool enabled)
{
	uint32_t due = shim_pending + 1;

	if (!running)
		return 1;
	shim_pending = enabled ? 0 : due;
	return enabled ? due : 0;
}

/* The only op in C. */
void shim_io_delay(void);

void shim_io_delay(void)
{
	shim_calls[SHIM_IO_DELAY]++;
}
