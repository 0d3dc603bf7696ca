/* SPDX-License-Identifier: MIT */
/* The trap vector, and the handling of each exception and interrupt. */
#include "check.h"
#include "kernel.h"
#include "paravirt.h"

uint32_t breakpoints;
unsigned long breakpoint_irq_state;

extern const char entry[]; /* entry.S */

unsigned long irq_state(void)
{
	return (pv_irq_save() ? KERNEL_IF : 0) | (read_flags() ? PROCESSOR_IF : 0);
}

void pv_load_traps(void)
{
	__asm__ volatile("csrw stvec, %0" : : "r"(entry));
}

void interrupts_init(void)
{
	pv_load_traps();
}

/* Called by entry.S; changes of the frame change the interrupted code's registers. */
void trap(struct frame *frame);

void trap(struct frame *frame)
{
	if (frame->scause == CAUSE_BREAKPOINT) {
		breakpoints++;
		breakpoint_irq_state = irq_state();
		frame->sepc += (*(const uint16_t *)frame->sepc & 3) == 3 ? 4 : 2;
	} else if (frame->scause == CAUSE_TIMER) {
		timer_interrupt(frame->irq);
	} else if (!probe_recover(frame) && !extable_recover(frame)) {
		panic_trap(frame);
	}
}
