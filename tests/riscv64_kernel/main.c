/* SPDX-License-Identifier: MIT */
/*
 * Boots, redirects the sites to a backend, writes its memory to a file of the host, calls every op, goes back to the
 * sites as linked, calls every op again, and ends with a backtrace. The backend is `sbi` if there is another hart.
 */
#include "host.h"

#define LIVE "ra", "t0", "t1", "memory"

enum {
	CALLS = 9,
	STIP = 0x20,
	CONSOLE_PUTCHAR = 1,
	TIME = 0x54494d45,
	RFENCE = 0x52464e43,
	HSM = 0x48534d
};

struct answer {
	long error, value;
};

bp_uint32_t count;

/* RISC-V SBI Specification, "Binary Encoding". */
static struct answer sbi(long extension, long function, long a, long b, long c, long d)
{
	register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d;
	register long a6 __asm__("a6") = function, a7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a6), "r"(a7) : "memory");
	return (struct answer){a0, a1};
}

void put(bp_uint8_t byte)
{
	sbi(CONSOLE_PUTCHAR, 0, byte, 0, 0, 0);
}

void sbi_irq_enable(void)
{
	__asm__ volatile("csrsi sstatus, 2" : : : "memory");
}

long sbi_tick(void)
{
	return 3;
}

static long remote; /* what the last remote fence said, plus 1 */

void sbi_flush(void)
{
	remote = sbi(RFENCE, 1, 3, 0, 0, 0).error + 1; /* SFENCE.VMA of harts 0 and 1, for all addresses */
}

void sbi_set_timer(bp_uintptr_t when)
{
	sbi(TIME, 0, (long)when, 0, 0, 0);
}

extern void pv_set_timer(bp_uintptr_t when);
extern bp_uintptr_t pv_time(void);

static inline bp_uintptr_t irq_save(void)
{
	register bp_uintptr_t flags __asm__("a0");

	__asm__ volatile(BP_CALL_8("pv_irq_save") : "=r"(flags) : : LIVE);
	return flags;
}

static inline void irq_restore(bp_uintptr_t given)
{
	register bp_uintptr_t flags __asm__("a0") = given;

	__asm__ volatile("call pv_irq_restore" : : "r"(flags) : LIVE);
}

static int irqs(void)
{
	bp_uintptr_t status;

	__asm__ volatile("csrr %0, sstatus" : "=r"(status));
	return status >> 1 & 1;
}

static int pending(void)
{
	bp_uintptr_t bits;

	__asm__ volatile("csrr %0, sip" : "=r"(bits));
	return !!(bits & STIP);
}

/* Calls every op once, and two of them twice; checks what they do. Returns what the timer and the clock say. */
static NOINLINE int call_all(long tick_of_backend)
{
	register long ticks __asm__("a0");
	bp_uintptr_t flags;
	int timer;

	__asm__ volatile("call pv_irq_enable" : : : LIVE);
	expect(irqs(), "interrupts are off");
	flags = irq_save();
	expect(!irqs() && flags, "interrupts are on");
	irq_restore(flags);
	expect(irqs(), "interrupts were not restored");
	__asm__ volatile("call pv_irq_disable" : : : LIVE);
	expect(!irqs(), "interrupts were not disabled");
	__asm__ volatile(BP_CALL_12("pv_flush") : : : LIVE);
	expect(tick() == tick_of_backend, "the slot has another function");
	__asm__ volatile(BP_SLOT_CALL("pv_ops")
			 : "=r"(ticks)
			 :
			 : "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t2", "t3", "t4", "t5", "t6", LIVE);
	expect(ticks == tick_of_backend, "the slot has another function in C");
	pv_set_timer(0);
	timer = pending();
	pv_set_timer(-1ul);
	expect(!timer || !pending(), "the timer was not set again");
	return timer & !!pv_time();
}

_Noreturn void main(bp_uintptr_t hart)
{
	const struct bp_backend *backend = &bp_paravirt_native;
	struct bp_status status;
	int others = !sbi(HSM, 2, hart ^ 1, 0, 0, 0).error; /* whether the hart of that number exists */

	if (others)
		backend = &bp_paravirt_sbi;
	status = bp_fixup(&bp_paravirt, backend, kernel_start, kernel_end, bp_write, 0);
	if (status.error)
		print_call(bp_error(status.error));
	expect(!status.error, "no fixup");
	dump();
	expect(call_all(others ? 3 : 2), "no timer");
	expect(count == 0, "a default was called");
	expect(remote == others, "no remote fence");
	status = bp_switch(&bp_paravirt, backend, 0, kernel_start, kernel_end, bp_write, 0);
	expect(!status.error, "no way back");
	expect(!call_all(1) && count == CALLS, "a default was not called");
	print(others ? "sbi: all ops\n" : "native: all ops\n");
	deep();
	end(3);
}
