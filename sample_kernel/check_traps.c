/* SPDX-License-Identifier: MIT */
/*
 * What goes through entry.S: exceptions and timer interrupts come, are told apart, and leave the
 * interrupted code's registers and interrupt flag alone. Also what only faults can show: W^X.
 */
#include "check.h"
#include "paravirt.h"
#include "shim.h"

enum { RETURN_INSTRUCTION = 0xc3, WAITS = 1 << 23, SPINS = 1 << 26 };

static uint8_t page_of_data[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

unsigned long registers_before[REGISTERS], registers_after[REGISTERS], registers_flags;
uint32_t registers_spins;

unsigned long probe_ip, probe_cr2, probe_error;
extern const char probe_faulted[];

bool probe_recover(struct frame *frame)
{
	if (frame->vector != VECTOR_PAGE_FAULT || frame->ip != probe_ip)
		return false;
	probe_cr2 = frame->cr2;
	probe_error = frame->error;
	frame->ip = (uintptr_t)probe_faulted;
	return true;
}

static void breakpoint(void)
{
	__asm__ volatile("int3");
}

static void check_exceptions(bool shim)
{
	unsigned long on = KERNEL_IF | PROCESSOR_IF, off = irq_state_off(shim);
	uint32_t before = breakpoints;

	breakpoint();
	check("breakpoint", breakpoints - before, 1);
	breakpoint();
	check_op("entry-io_delay", SHIM_IO_DELAY, 0, 0);
	breakpoint();
	check_op("entry-read_cr2", SHIM_READ_CR2, 0, 0);

	pv_irq_disable();
	breakpoint();
	check("entry-while-off", breakpoint_irq_state, off);
	check("entry-leaves-off", irq_state(), off);
	pv_irq_enable();
	breakpoint();
	check("entry-while-on", breakpoint_irq_state, off);
	check("entry-leaves-on", irq_state(), on);
}

static void check_faults(void)
{
	uint8_t *hole = (uint8_t *)0x10;

	/* What is written is what is there: nothing changes if there is no fault. */
	check("write-data", probe_write(page_of_data, 0), 1);
	check("write-hole", probe_write(hole, 0), 0);
	check("write-hole-cr2", probe_cr2, (uintptr_t)hole);
	check("write-hole-error", probe_error, FAULT_WRITE);
	check("write-text", probe_write(text_start, *text_start), 0);
	check("write-text-cr2", probe_cr2, (uintptr_t)text_start);
	check("write-text-error", probe_error, FAULT_PRESENT | FAULT_WRITE);
	check("write-rodata", probe_write(rodata_start, *rodata_start), 0);
	check("write-rodata-error", probe_error, FAULT_PRESENT | FAULT_WRITE);
	page_of_data[0] = RETURN_INSTRUCTION;
	check("execute-data", probe_execute(page_of_data), !PTE_NX);
	if (PTE_NX) {
		check("execute-data-cr2", probe_cr2, (uintptr_t)page_of_data);
		check("execute-data-error", probe_error, FAULT_PRESENT | FAULT_FETCH);
	}
	poke(NULL, text_start, text_start, 1);
	check("poke-text", probe_write(text_start, *text_start), 0);
}

/* Polling a port is slow, which is as well: there is to be time for a tick. */
static bool wait_pending(void)
{
	for (unsigned i = 0; i < WAITS; i++)
		if (timer_pending())
			return true;
	return false;
}

static bool wait_tick(unsigned long before)
{
	for (unsigned i = 0; i < WAITS && ticks == before; i++)
		timer_pending();
	return ticks != before;
}

static void check_timer(void)
{
	unsigned long before = ticks;

	pv_irq_disable();
	timer_start();
	check("timer-pending", wait_pending(), true);
	check("timer-disabled", ticks, before);
	pv_irq_enable();
	check("timer-enabled", wait_tick(before), true);
	check("timer-goes-on", wait_tick(ticks), true);
	pv_irq_disable();
	before = ticks;
	check("timer-pending-again", wait_pending(), true);
	check("timer-disabled-again", ticks, before);
	/* Not if there were none before: it would wait for ever. */
	if (before)
		pv_halt();
	check_op("halt", SHIM_HALT, ticks != before, true);
	check("halt-enables", irq_state(), KERNEL_IF | PROCESSOR_IF);
}

static void check_registers(const char *name, void (*through)(void))
{
	for (unsigned i = 0; i < REGISTERS; i++)
		registers_before[i] = 0x123456789abcdef * (i + 1);
	registers_before[0] = ticks;
	through();
	check(name, memcmp(registers_before, registers_after, sizeof(registers_before)), 0);
}

static void check_counts(bool shim)
{
	for (unsigned i = 0; i < SHIM_OPS; i++)
		if (!shim_calls[i] == shim) {
			check("shim-counts", i, SHIM_OPS);
			return;
		}
	check("shim-counts", SHIM_OPS, SHIM_OPS);
}

void check_traps(bool shim)
{
	unsigned long before;

	check_exceptions(shim);
	check_faults();
	check_registers("registers-breakpoint", registers_breakpoint);
	check_registers("registers-calls", registers_calls);
	check("registers-calls-flags", registers_flags & FLAGS_ARITHMETIC, FLAGS_ARITHMETIC);
	check_timer();
	before = ticks;
	registers_spins = SPINS;
	check_registers("registers-interrupt", registers_interrupt);
	check("registers-interrupt-came", ticks != before, true);
	check_counts(shim);
}
