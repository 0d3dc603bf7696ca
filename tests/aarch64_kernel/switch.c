/* SPDX-License-Identifier: MIT */
/* In place of main.c: backends are switched in use. Interrupts are those of a GICv2 and of the virtual timer. */
#include "switch.h"

#define LIVE "x16", "x17", "x30", "memory"

enum {
	DISTRIBUTOR = 0x8000000,
	INTERFACE = 0x8010000,
	ENABLE_SET = 0x100,
	SOFTWARE = 0xf00,
	PRIORITY_MASK = 4,
	ACKNOWLEDGE = 0xc,
	END = 0x10,
	SUMMONS = 0, /* interrupts */
	TIMER = 27,
	PERIOD = 20000,
};

extern void second_start(void);
extern const char switch_vectors[];

void put(bp_uint8_t byte)
{
	*(volatile bp_uint32_t *)0x9000000 = byte; /* PL011's data register */
}

static volatile bp_uint32_t *at(bp_uintptr_t address)
{
	return (volatile bp_uint32_t *)address;
}

static inline struct pair number(void)
{
	register bp_uintptr_t a __asm__("x0"), b __asm__("x1");

	__asm__ volatile(BP_CALL_16("pv_number") : "=r"(a), "=r"(b) : : LIVE);
	return (struct pair){a, b};
}

static bp_uintptr_t daif(void)
{
	bp_uintptr_t flags;

	__asm__ volatile("mrs %0, daif" : "=r"(flags));
	return flags;
}

static inline void check_irqs(void)
{
	register bp_uintptr_t flags __asm__("x0");
	bp_uintptr_t before = daif();

	__asm__ volatile(BP_CALL_8("pv_irq_save") : "=r"(flags) : : LIVE);
	expect((daif() & 0x80) && flags == before, "interrupts are on");
	__asm__ volatile("bl pv_irq_restore" : : "r"(flags) : LIVE);
	expect(daif() == before, "interrupts were not restored");
}

static void irqs_off(void)
{
	__asm__ volatile("msr daifset, #2" : : : "memory");
}

static void irqs_on(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

static void set_timer(void)
{
	__asm__ volatile("msr cntv_tval_el0, %0" : : "r"((bp_uintptr_t)PERIOD));
}

static void start_timer(void)
{
	*at(DISTRIBUTOR) = 1;
	*at(DISTRIBUTOR + ENABLE_SET) = 1u << SUMMONS | 1u << TIMER;
	*at(INTERFACE + PRIORITY_MASK) = 0xff;
	*at(INTERFACE) = 1;
	set_timer();
	__asm__ volatile("msr cntv_ctl_el0, %0; isb" : : "r"(1ul));
}

static void summon(struct bp_live *live)
{
	(void)live;
	*at(DISTRIBUTOR + SOFTWARE) = 1u << 24 | SUMMONS; /* of all other processors */
}

void interrupt(const void *frame)
{
	bp_uint32_t what = *at(INTERFACE + ACKNOWLEDGE);
	bp_uintptr_t processor;

	__asm__("mrs %0, mpidr_el1" : "=r"(processor));
	if ((what & 0x3ff) == TIMER) {
		set_timer();
		timer_interrupt(processor & 1);
	}
	*at(INTERFACE + END) = what;
	if ((what & 0x3ff) == SUMMONS)
		bp_live_attend(&live, frame);
}

static void start_second(void)
{
	register bp_uintptr_t function __asm__("x0") = 0xc4000003; /* PSCI's CPU_ON */
	register bp_uintptr_t target __asm__("x1") = 1;
	register bp_uintptr_t entry __asm__("x2") = (bp_uintptr_t)second_start;
	register bp_uintptr_t context __asm__("x3") = 0;

	__asm__ volatile("hvc #0" : "+r"(function), "+r"(target), "+r"(entry), "+r"(context) : : "memory");
	expect(!function, "no second processor");
}

#ifdef ADDRESS
extern void pv_number(void);
void (*volatile address)(void);
#endif

_Noreturn void main(void)
{
#ifdef ADDRESS
	address = pv_number;
#endif
	__asm__ volatile("msr vbar_el1, %0; isb" : : "r"(switch_vectors));
	switch_backends();
}
