/* SPDX-License-Identifier: MIT */
/*
 * Work whose instructions are counted: `work=NAME rounds=N`, in an emulator (QEMU's -icount). Only
 * the code between begin() and end() counts.
 */
#include "work.h"
#include "bp_paravirt.h"
#include "kernel.h"
#include "paravirt.h"

enum { ENTRIES = PAGE_SIZE / sizeof(unsigned long) };

static uint32_t begun, counted, overhead;
static unsigned long table[ENTRIES];
static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static volatile unsigned long result; /* keeps the compiler from removing work */

static __attribute__((noinline)) void begin(void)
{
	begun = counter();
}

static __attribute__((noinline)) void end(void)
{
	counted += counter() - begun - overhead;
}

/* Two instructions a round: shows whether the counter counts instructions. */
static void loop(unsigned long rounds)
{
	begin();
	for (; rounds; rounds--)
		__asm__ volatile("" : "+r"(rounds));
	end();
}

static void irq(unsigned long rounds)
{
	begin();
	while (rounds--) {
		unsigned long flags = pv_irq_save();

		pv_irq_disable();
		pv_irq_restore(flags);
	}
	end();
}

/* A round fills a table. */
static void pte(unsigned long rounds)
{
	unsigned long sum = 0, address = 0;

	begin();
	while (rounds--) {
		for (unsigned long *entry = table; entry < table + ENTRIES;) {
			unsigned long pte = pv_make_pte(PTE_OF(address) | WORK_PTE);

			work_set_pte(&entry, pte);
			sum += pv_pte_val(pte);
			address += PAGE_SIZE;
		}
	}
	end();
	result = sum;
}

/* A round is a timer interrupt: requested, and taken as soon as interrupts are on. */
static void storm(unsigned long rounds)
{
	while (rounds--) {
		pv_irq_disable();
		begin();
		timer_once();
		end();
		while (!timer_pending())
			;
		begin();
		pv_irq_enable();
		__asm__ volatile("nop"); /* on some, interrupts come one instruction later */
		pv_irq_disable();
		end();
	}
}

/* A round maps a page and uses it, with interrupts off, and reads the processor's registers. */
static void mixed(unsigned long rounds)
{
	unsigned long sum = 0;

	begin();
	for (unsigned long i = 0; i < rounds; i++) {
		unsigned long flags = pv_irq_save();
		unsigned long entry;

		pv_irq_disable();
		entry = pv_make_pte(PTE_OF(physical(page)) | WORK_PTE | (i & 1) * WORK_PTE_BIT);
		pv_set_pte(paging_entry(page), entry);
		pv_flush_tlb();
		page[i % PAGE_SIZE]++;
		sum += pv_pte_val(entry) + work_cpu(i);
		pv_write_root(pv_read_root());
		pv_irq_restore(flags);
		pv_io_delay();
		__asm__ volatile(BREAKPOINT);
	}
	end();
	result = sum;
}

/* A round is the fixup of a kernel as linked. */
static void fixup(unsigned long rounds)
{
	const struct bp_backend *native = &bp_paravirt_native;
	unsigned long state = poke_begin(); /* bp_write writes directly */
	struct bp_status status;

	do {
		status =
		    bp_switch(&bp_paravirt, native, NULL, kernel_start, kernel_end, bp_write, NULL);
		if (status.error)
			panic("not patched to native");
		begin();
		status = bp_fixup(&bp_paravirt, native, kernel_start, kernel_end, bp_write, NULL);
		end();
	} while (!status.error && --rounds);
	if (status.error)
		panic("fixup failed");
	poke_end(state);
}

static const struct work {
	const char *name;
	void (*run)(unsigned long rounds);
} works[] = {
    {"loop", loop},   {"irq", irq},	{"pte", pte},
    {"storm", storm}, {"mixed", mixed}, {"fixup", fixup},
};

static unsigned long number(const char *text)
{
	unsigned long value = 0;

	while (text && *text >= '0' && *text <= '9')
		value = value * 10 + *text++ - '0';
	return value;
}

void work_run(const char *name)
{
	unsigned long rounds = number(command_line_value("rounds="));

	counter_start();
	begin();
	end();
	overhead = counted;
	counted = 0;
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(works[i].name, name))
			continue;
		works[i].run(rounds);
		print("work %s: %lu rounds, %u instructions\n", name, rounds, counted);
		finish(true);
	}
	panic("unknown work");
}
