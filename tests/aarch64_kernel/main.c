/* SPDX-License-Identifier: MIT */
/*
 * Boots, calls every op as linked, redirects the sites to a backend, writes its memory to a file of
 * the host, calls every op again, goes back to the sites as linked, and ends with a backtrace.
 */
#include "host.h"

#define LIVE "x16", "x17", "x30", "memory"

enum { PSCI_VERSION = 0x84000000, CALLS = 7 };

bp_uint32_t count;

void put(bp_uint8_t byte)
{
	*(volatile bp_uint32_t *)0x9000000 = byte; /* PL011's data register */
}

static inline bp_uintptr_t irq_save(void)
{
	register bp_uintptr_t flags __asm__("x0");

	__asm__ volatile(BP_CALL_8("pv_irq_save") : "=r"(flags) : : LIVE);
	return flags;
}

static inline void irq_restore(bp_uintptr_t given)
{
	register bp_uintptr_t flags __asm__("x0") = given;

	__asm__ volatile("bl pv_irq_restore" : : "r"(flags) : LIVE);
}

static bp_uintptr_t daif(void)
{
	bp_uintptr_t flags;

	__asm__ volatile("mrs %0, daif" : "=r"(flags));
	return flags;
}

extern long pv_psci(bp_uintptr_t function);

void smc_irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

long smc_tick(void)
{
	return 3;
}

/* Calls every op once; returns what PSCI says, and checks what the others do. */
static NOINLINE long call_all(long tick_of_backend)
{
	register long ticks __asm__("x0");
	bp_uintptr_t flags;

	__asm__ volatile("bl pv_irq_enable" : : : LIVE);
	expect(!(daif() & 0x80), "interrupts are off");
	flags = irq_save();
	expect((daif() & 0x80) && !(flags & 0x80), "interrupts are on");
	irq_restore(flags);
	expect(!(daif() & 0x80), "interrupts were not restored");
	__asm__ volatile("bl pv_irq_disable" : : : LIVE);
	expect(daif() & 0x80, "interrupts were not disabled");
	__asm__ volatile(BP_CALL_16("pv_flush") : : : LIVE);
	expect(tick() == tick_of_backend, "the slot has another function");
	__asm__ volatile(BP_SLOT_CALL("pv_ops")
			 : "=r"(ticks)
			 :
			 : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
			   "x12", "x13", "x14", "x15", "x18", "cc", LIVE);
	expect(ticks == tick_of_backend, "the slot has another function in C");
	return pv_psci(PSCI_VERSION);
}

_Noreturn void main(void)
{
	const struct bp_backend *backend = &bp_paravirt_hvc;
	struct bp_status status;
	bp_uintptr_t level;

	__asm__("mrs %0, CurrentEL" : "=r"(level));
	if (level >> 2 == 2)
		backend = &bp_paravirt_smc;
	status = bp_fixup(&bp_paravirt, backend, kernel_start, kernel_end, bp_write, 0);
	if (status.error)
		print_call(bp_error(status.error));
	expect(!status.error, "no fixup");
	dump();
	expect(call_all(level >> 2 == 2 ? 3 : 2) >= 2, "no PSCI");
	expect(count == 0, "a default was called");
	status = bp_switch(&bp_paravirt, backend, 0, kernel_start, kernel_end, bp_write, 0);
	expect(!status.error, "no way back");
	expect(call_all(1) == -1 && count == CALLS, "a default was not called");
	print(level >> 2 == 2 ? "smc: all ops\n" : "hvc: all ops\n");
	deep();
	end(3);
}
