/* SPDX-License-Identifier: MIT */
/* The IDT, and the handling of each exception and interrupt. */
#include "apic.h"
#include "check.h"
#include "kernel.h"
#include "paravirt.h"
#include "smp.h"
#include "xen.h"

enum { INTERRUPT_GATE = 0x8e, TRAP_GATE = 0x8f };

uint32_t breakpoints;
unsigned long breakpoint_irq_state;
static struct gate idt[VECTORS];

unsigned long irq_state(void)
{
	return (pv_irq_save() & FLAGS_IF ? KERNEL_IF : 0) |
	       (read_flags() & FLAGS_IF ? PROCESSOR_IF : 0);
}

void pv_load_traps(void)
{
	struct {
		uint16_t limit;
		uintptr_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	if (xen_running) {
		xen_load_traps();
		return;
	}
	for (unsigned i = 0; i < VECTORS; i++)
		idt[i] = gate(KERNEL_CS, (uintptr_t)entry_stubs[i],
			      i < VECTOR_IRQ ? TRAP_GATE : INTERRUPT_GATE,
			      i == VECTOR_DOUBLE_FAULT ? IST_DOUBLE_FAULT : 0);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void interrupts_init(void)
{
	pv_load_segments();
	pv_load_traps();
}

void interrupts_gate(unsigned vector, const char *entry)
{
	idt[vector] = gate(KERNEL_CS, (uintptr_t)entry, INTERRUPT_GATE, 0);
}

/* Called by entry.S; changes of the frame change the interrupted code's registers. */
void trap(struct frame *frame);

void trap(struct frame *frame)
{
	if (frame->vector == VECTOR_BREAKPOINT) {
		breakpoints++;
		breakpoint_irq_state = irq_state();
	} else if (frame->vector == VECTOR_IRQ) {
		timer_interrupt(frame->irq);
	} else if (frame->vector == VECTOR_LOCAL_TIMER) {
		smp_end_of_interrupt();
		smp_timer_interrupt();
	} else if (frame->vector < VECTOR_IRQ && !probe_recover(frame) && !extable_recover(frame)) {
		panic_trap(frame);
	}
}
