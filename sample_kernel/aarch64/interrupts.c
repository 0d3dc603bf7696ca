/* SPDX-License-Identifier: MIT */
/* The vectors, the interrupt controller (GICv2), and the handling of each exception and interrupt.
 */
#include "check.h"
#include "gic.h"
#include "kernel.h"
#include "paravirt.h"
#include "smp.h"

uint32_t breakpoints;
unsigned long breakpoint_irq_state;

extern const char vectors[]; /* entry.S */

unsigned long irq_state(void)
{
	return (flags_are_on(pv_irq_save()) ? KERNEL_IF : 0) |
	       (flags_are_on(read_flags()) ? PROCESSOR_IF : 0);
}

void pv_load_traps(void)
{
	__asm__ volatile("msr vbar_el1, %0; isb" : : "r"(vectors));
}

void interrupts_init(void)
{
	pv_load_traps();
	*gic(GIC_DISTRIBUTOR, CONTROL) = 1;
	*gic(GIC_DISTRIBUTOR, ENABLE) = 1 << TIMER_INTERRUPT | 1 << SUMMONS_INTERRUPT;
	*gic(GIC_PROCESSOR, PRIORITY) = 0xff;
	*gic(GIC_PROCESSOR, CONTROL) = 1;
}

static void interrupt(unsigned long irq)
{
	uint32_t number = *gic(GIC_PROCESSOR, ACKNOWLEDGE);

	if (number == TIMER_INTERRUPT)
		timer_interrupt(irq);
	*gic(GIC_PROCESSOR, END) = number;
	/* It came after live_entry.S looked for it: once more, for the entry that calls no op. */
	if ((number & INTERRUPT_NUMBER) == SUMMONS_INTERRUPT)
		*gic(GIC_DISTRIBUTOR, SOFTWARE) = TO_ITSELF | SUMMONS_INTERRUPT;
}

/* Called by entry.S; changes of the frame change the interrupted code's registers. */
void trap(struct frame *frame);

void trap(struct frame *frame)
{
	if (frame->esr >> ESR_INTERRUPT_BIT) {
		interrupt(frame->irq);
	} else if (FRAME_VECTOR(frame) == ESR_BREAKPOINT) {
		breakpoints++;
		breakpoint_irq_state = irq_state();
		frame->elr += 4;
	} else if (!probe_recover(frame) && !extable_recover(frame)) {
		panic_trap(frame);
	}
}
