/* SPDX-License-Identifier: MIT */
/* The local APICs (Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller"), and the start
 * of the second processor. */
#include "smp.h"
#include "apic.h"
#include "paravirt.h"

#define APIC_PHYSICAL 0xfee00000

enum { END_OF_INTERRUPT = 0xb0, SPURIOUS = 0xf0, COMMAND = 0x300, TIMER = 0x320 }; /* registers */
enum { REQUESTS = 0x200 };
enum { TIMER_COUNT = 0x380, TIMER_DIVISOR = 0x3e0 };
enum { ENABLED = 1 << 8 };							/* in SPURIOUS */
enum { ALL_OTHERS = 3 << 18, ASSERT = 1 << 14, INIT = 0x500, STARTUP = 0x600 }; /* in COMMAND */
enum { PERIODIC = 1 << 17, MASKED = 1 << 16, BY_ONE = 0xb };			/* of TIMER */
enum { PERIOD = 500000 }; /* of the timers under load */
enum { WAITS = 1 << 14, LONG_WAITS = 1 << 18 };

static char apic[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static char low_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

char ap_stack[AP_STACK] __attribute__((aligned(16)));
volatile uint32_t ap_taken; /* ap.S: set by the first of the others; the rest halt */
unsigned long ap_root;	    /* ap.S: cr3 */
struct {
	uint16_t limit;
	uintptr_t base;
} __attribute__((packed)) ap_gdt, ap_idt;
static volatile bool running;

static volatile uint32_t *apic_register(unsigned number)
{
	return (volatile uint32_t *)(apic + number);
}

static void map_page(char *page, unsigned long to)
{
	pv_set_pte(paging_entry(page),
		   pv_make_pte(to | PTE_PRESENT | PTE_WRITE | PTE_UNCACHED | PTE_NX));
	pv_flush_tlb();
}

void smp_summon(void)
{
	*apic_register(COMMAND) = ALL_OTHERS | ASSERT | VECTOR_SUMMONS;
}

void smp_acknowledge(void)
{
	smp_end_of_interrupt();
}

void smp_end_of_interrupt(void)
{
	*apic_register(END_OF_INTERRUPT) = 0;
}

bool smp_requested(uint8_t vector)
{
	return *apic_register(REQUESTS + vector / 32 * 16) >> vector % 32 & 1;
}

void smp_timer(uint32_t period, uint8_t vector)
{
	*apic_register(TIMER_DIVISOR) = BY_ONE;
	*apic_register(TIMER) = vector | (period ? PERIODIC : MASKED);
	*apic_register(TIMER_COUNT) = period;
}

void smp_timer_start(void)
{
	smp_timer(PERIOD, VECTOR_LOCAL_TIMER);
}

void smp_timer_stop(void)
{
	smp_timer(0, VECTOR_LOCAL_TIMER);
}

static void enable(void)
{
	*apic_register(SPURIOUS) = ENABLED | VECTOR_SPURIOUS;
}

void smp_apic_init(void)
{
	map_page(apic, APIC_PHYSICAL);
	enable();
}

/* Called by live_entry.S. */
bool breakpoint_hit(const void *frame, uintptr_t *ip);

bool breakpoint_hit(const void *frame, uintptr_t *ip)
{
	if (!bp_live_trap(&live, ip, frame))
		return false;
	__atomic_add_fetch(&live_traps, 1, __ATOMIC_RELAXED);
	return true;
}

/* Called by ap.S. */
_Noreturn void ap_main(void);

_Noreturn void ap_main(void)
{
	enable();
	running = true;
	smp_main();
	for (;;)
		__asm__ volatile("cli; hlt");
}

bool smp_start(void)
{
	interrupts_gate(VECTOR_BREAKPOINT, breakpoint_entry);
	interrupts_gate(VECTOR_SUMMONS, summons_entry);
	map_page(low_page, AP_BASE);
	memcpy(low_page, ap_start, ap_end - ap_start);
	ap_root = read_cr3();
	__asm__ volatile("sgdt %0; sidt %1" : "=m"(ap_gdt), "=m"(ap_idt));
	smp_apic_init();
	*apic_register(COMMAND) = ALL_OTHERS | ASSERT | INIT;
	for (unsigned i = 0; i < WAITS; i++) /* a microsecond each */
		outb(0x80, 0);
	*apic_register(COMMAND) = ALL_OTHERS | ASSERT | STARTUP | AP_BASE / PAGE_SIZE;
	for (unsigned i = 0; i < LONG_WAITS && !running; i++)
		outb(0x80, 0);
	return running;
}
