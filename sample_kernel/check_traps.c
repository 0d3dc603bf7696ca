/* SPDX-License-Identifier: MIT */
/*
 * Checks of entry.S: exceptions and timer interrupts arrive, are distinguished, and preserve the
 * interrupted code's registers and interrupt flag. Also of W^X, which only faults can show.
 */
#include "check.h"
#include "paravirt.h"
#include "shim.h"

enum { WAITS = 1 << 23, SPINS = 1 << 26 };

static uint8_t page_of_data[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

unsigned long registers_before[REGISTERS], registers_after[REGISTERS], registers_flags;
uint32_t registers_spins;

static const uint8_t return_code[] = RETURN_CODE;

unsigned long probe_ip, probe_address, probe_error;
extern const char probe_faulted[];

bool probe_recover(struct frame *frame)
{
	if (!IS_PAGE_FAULT(frame) || FRAME_PC(frame) != probe_ip)
		return false;
	probe_address = FRAME_FAULT(frame);
	probe_error = FRAME_ERROR(frame);
	FRAME_PC(frame) = (uintptr_t)probe_faulted;
	return true;
}

static void breakpoint(void)
{
	__asm__ volatile(BREAKPOINT);
}

static void check_exceptions(struct report *report)
{
	unsigned long on = KERNEL_IF | PROCESSOR_IF, off = report->irq_off;
	uint32_t before = breakpoints;

	breakpoint();
	check(report, "breakpoint", breakpoints - before, 1);
	breakpoint();
	check_op(report, "entry-io_delay", SHIM_IO_DELAY, 0, 0);
	breakpoint();
	check_op(report, "entry-read_fault", SHIM_READ_FAULT, 0, 0);

	pv_irq_disable();
	breakpoint();
	check(report, "entry-while-off", breakpoint_irq_state, off);
	check(report, "entry-leaves-off", irq_state(), off);
	pv_irq_enable();
	breakpoint();
	check(report, "entry-while-on", breakpoint_irq_state, off);
	check(report, "entry-leaves-on", irq_state(), on);
}

static void check_faults(struct report *report)
{
	uint8_t *hole = (uint8_t *)0x10;

	/* Writes what is there already: if it does not fault, nothing changes. */
	check(report, "write-data", probe_write(page_of_data, 0), 1);
	check(report, "write-hole", probe_write(hole, 0), 0);
	check(report, "write-hole-address", probe_address, (uintptr_t)hole);
	check(report, "write-hole-error", probe_error, ERROR_WRITE_HOLE);
	check(report, "write-text", probe_write(text_start, *text_start), 0);
	check(report, "write-text-address", probe_address, (uintptr_t)text_start);
	check(report, "write-text-error", probe_error, ERROR_WRITE_READ_ONLY);
	check(report, "write-rodata", probe_write(rodata_start, *rodata_start), 0);
	check(report, "write-rodata-error", probe_error, ERROR_WRITE_READ_ONLY);
	memcpy(page_of_data, return_code, sizeof(return_code));
	check(report, "execute-data", probe_execute(page_of_data), !EXECUTE_PROTECTED);
	if (EXECUTE_PROTECTED) {
		check(report, "execute-data-address", probe_address, (uintptr_t)page_of_data);
		check(report, "execute-data-error", probe_error, ERROR_EXECUTE_DATA);
	}
	poke(NULL, text_start, text_start, 4);
	check(report, "poke-text", probe_write(text_start, *text_start), 0);
}

/* Polls a port, as that is slow: there must be time for a tick. */
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

static void check_timer(struct report *report)
{
	unsigned long before = ticks;

	pv_irq_disable();
	timer_start();
	check(report, "timer-pending", wait_pending(), true);
	check(report, "timer-disabled", ticks, before);
	pv_irq_enable();
	check(report, "timer-enabled", wait_tick(before), true);
	check(report, "timer-goes-on", wait_tick(ticks), true);
	pv_irq_disable();
	before = ticks;
	check(report, "timer-pending-again", wait_pending(), true);
	check(report, "timer-disabled-again", ticks, before);
	/* Not if there were no ticks before: it would wait forever. */
	if (before)
		pv_halt();
	check_op(report, "halt", SHIM_HALT, ticks != before, true);
	check(report, "halt-enables", irq_state(), KERNEL_IF | PROCESSOR_IF);
}

static void check_registers(struct report *report, const char *name, void (*through)(void))
{
	for (unsigned i = 0; i < REGISTERS; i++)
		registers_before[i] = 0x123456789abcdef * (i + 1);
	registers_before[0] = ticks;
	through();
	check(report, name, memcmp(registers_before, registers_after, sizeof(registers_before)), 0);
}

static void check_counts(struct report *report)
{
	for (unsigned i = 0; i < SHIM_OPS; i++)
		if (!shim_calls[i] == report->shim) {
			check(report, "shim-counts", i, SHIM_OPS);
			return;
		}
	check(report, "shim-counts", SHIM_OPS, SHIM_OPS);
}

void check_traps(struct report *report)
{
	unsigned long before;

	check_exceptions(report);
	check_faults(report);
	check_registers(report, "registers-breakpoint", registers_breakpoint);
	check_registers(report, "registers-calls", registers_calls);
#ifdef FLAGS_ARITHMETIC
	check(report, "registers-calls-flags", registers_flags & FLAGS_ARITHMETIC,
	      FLAGS_ARITHMETIC);
#endif
	check_timer(report);
	before = ticks;
	registers_spins = SPINS;
	check_registers(report, "registers-interrupt", registers_interrupt);
	check(report, "registers-interrupt-came", ticks != before, true);
	check_counts(report);
}
