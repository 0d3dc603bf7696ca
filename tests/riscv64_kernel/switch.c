/* SPDX-License-Identifier: MIT */
/* In place of main.c: backends are switched in use. Interrupts between harts, and of the timer, are those of SBI. */
#include "switch.h"

#define LIVE "ra", "t0", "t1", "memory"

enum {
	SSIE = 2, /* of sie and sip */
	STIE = 0x20,
	SOFTWARE = 1, /* causes of interrupts */
	CONSOLE_PUTCHAR = 1,
	IPI = 0x735049,
	TIME = 0x54494d45,
	HSM = 0x48534d,
	PERIOD = 5000,
};

extern void second_start(void);
extern const char switch_vector[];

static bp_uintptr_t first; /* the hart that switches */

/* RISC-V SBI Specification, "Binary Encoding". */
static long sbi(long extension, long function, bp_uintptr_t a, bp_uintptr_t b, bp_uintptr_t c)
{
	register bp_uintptr_t a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
	register long a6 __asm__("a6") = function, a7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	return (long)a0;
}

void put(bp_uint8_t byte)
{
	sbi(CONSOLE_PUTCHAR, 0, byte, 0, 0);
}

static inline struct pair number(void)
{
	register bp_uintptr_t a __asm__("a0"), b __asm__("a1");

	__asm__ volatile(BP_CALL_16("pv_number") : "=r"(a), "=r"(b) : : LIVE);
	return (struct pair){a, b};
}

static bp_uintptr_t irqs(void)
{
	bp_uintptr_t status;

	__asm__ volatile("csrr %0, sstatus" : "=r"(status));
	return status & 2;
}

static inline void check_irqs(void)
{
	register bp_uintptr_t flags __asm__("a0");
	bp_uintptr_t before = irqs();

	__asm__ volatile(BP_CALL_8("pv_irq_save") : "=r"(flags) : : LIVE);
	expect(!irqs() && flags == before, "interrupts are on");
	__asm__ volatile("call pv_irq_restore" : : "r"(flags) : LIVE);
	expect(irqs() == before, "interrupts were not restored");
}

static void irqs_off(void)
{
	__asm__ volatile("csrci sstatus, 2" : : : "memory");
}

static void irqs_on(void)
{
	__asm__ volatile("csrsi sstatus, 2" : : : "memory");
}

static void set_timer(void)
{
	bp_uintptr_t now;

	__asm__ volatile("rdtime %0" : "=r"(now));
	sbi(TIME, 0, now + PERIOD, 0, 0);
}

static void start_timer(void)
{
	__asm__ volatile("csrs sie, %0" : : "r"((bp_uintptr_t)(SSIE | STIE)));
	set_timer();
}

static void summon(struct bp_live *live)
{
	(void)live;
	expect(!sbi(IPI, 0, 1, first ^ 1, 0), "no interrupt"); /* of the other hart */
}

void interrupt(const void *frame, bp_uintptr_t cause)
{
	bp_uintptr_t hart;

	if ((cause & 0xff) == SOFTWARE) {
		__asm__ volatile("csrc sip, %0" : : "r"((bp_uintptr_t)SSIE) : "memory");
		bp_live_attend(&live, frame);
	} else {
		__asm__("mv %0, tp" : "=r"(hart));
		set_timer();
		timer_interrupt(hart != first);
	}
}

static void start_second(void)
{
	expect(!sbi(HSM, 0, first ^ 1, (bp_uintptr_t)second_start, 0), "no second hart");
}

_Noreturn void main(bp_uintptr_t hart)
{
	first = hart;
	__asm__ volatile("mv tp, %0; csrw stvec, %1" : : "r"(hart), "r"(switch_vector));
	switch_backends();
}
