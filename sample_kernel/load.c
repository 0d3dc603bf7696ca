/* SPDX-License-Identifier: MIT */
/*
 * Sites of every kind, executed while backends are switched: each call of an op must act as under
 * one of the two backends. These have different interrupt flags, and the shim's is shared by all
 * processors: so the load sets the processor's flag itself, and checks nothing else.
 */
#include "check.h"
#include "paravirt.h"
#include "shim.h"
#include "sites.h"
#include "smp.h"

enum { PTE_VALUE = 0x12345003 };

uint32_t load_wrong, load_wrong_line, load_shims;

void load_expect(bool good, uint32_t line)
{
	if (good)
		return;
	load_wrong_line = line;
	__atomic_add_fetch(&load_wrong, 1, __ATOMIC_RELAXED);
}

void load_flags_on(void)
{
	shim_if = 1;
	flags_on();
}

void load_flags_off(void)
{
	flags_off();
}

static bool is_on(void)
{
	return flags_are_on(read_flags());
}

/* Under the shim an op does not change the processor's interrupt flag; it is called only where it
 * does not change it under native either. */
static void load_irq(void)
{
	unsigned long flags;

	load_flags_on();
	flags = read_flags();
	EXPECT(load_plausible(pv_irq_save()) && is_on());
	EXPECT(load_plausible(site_tail()) && is_on());
	EXPECT(load_plausible(site_pointers_data[1]()) && is_on());
	pv_irq_restore(flags);
	EXPECT(is_on());
	pv_irq_enable();
	EXPECT(is_on());
	site_jb(10);
	EXPECT(is_on());
	IRQ_CALL("pv_irq_enable");
	EXPECT(is_on());
	load_flags_off();
	flags = read_flags();
	pv_irq_disable();
	EXPECT(!is_on());
	IRQ_CALL("pv_irq_disable");
	EXPECT(!is_on());
	site_jb(9);
	EXPECT(!is_on());
	site_jnz(0);
	EXPECT(!is_on());
	site_pointers[1]();
	EXPECT(!is_on());
	pv_irq_restore(flags);
	EXPECT(!is_on());
	EXPECT(load_plausible(pv_irq_save()) && !is_on());
	load_flags_on();
	site_jnz(1);
	EXPECT(is_on());
	site_pointers[0]();
	EXPECT(is_on());
}

static void load_pte(void)
{
	unsigned long value = PTE_VALUE, mask = PTE_PSEUDO, entry = 0, made = pv_make_pte(value);

	EXPECT(((made ^ value) & ~mask) == 0);
	__atomic_add_fetch(&load_shims, made != value, __ATOMIC_RELAXED);
	EXPECT(((pv_pte_val(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_make(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_val(value) ^ value) & ~mask) == 0);
	pv_set_pte(&entry, value);
	EXPECT(((entry ^ value) & ~mask) == 0);
}

void load_backend(bool shim)
{
	unsigned long value = PTE_VALUE;

	EXPECT((pv_make_pte(value) != value) == shim);
	EXPECT((pv_pte_val(value) != value) == shim);
	EXPECT((site_address_make(value) != value) == shim);
	EXPECT((site_address_val(value) != value) == shim);
}

static void load_registers(void)
{
	unsigned long root = read_root();

	EXPECT(pv_read_root() == root);
	EXPECT(site_address_root() == root);
	EXPECT(site_pointers_data[0]() == root);
	pv_write_root(root);
	pv_flush_tlb();
	site_tail_long();
	EXPECT(read_root() == root);
	load_flags_off(); /* as interrupts may write what has the address of a fault */
	write_fault(0x1234567);
	EXPECT(pv_read_fault() == 0x1234567);
	EXPECT(site_address_fault() == 0x1234567);
	load_flags_on();
	pv_io_delay();
	site_pointers[2]();
	EXPECT(site_tail_nothing() == 42);
	EXPECT(site_jz_nothing(0) == 42);
	EXPECT(site_jz_nothing(1) == 43);
}

void load(void)
{
	load_irq();
	load_pte();
	load_registers();
	load_cpu();
	load_flags_on();
}

/* As entry code calls ops: with every register and the arithmetic flags live. For one processor. */
void load_entry(void)
{
	for (unsigned i = 0; i < REGISTERS; i++)
		registers_before[i] = 0x12345678 * (i + 1);
	registers_calls();
	load_flags_on();
	EXPECT(!memcmp(registers_before, registers_after, sizeof(registers_before)));
#ifdef FLAGS_ARITHMETIC
	EXPECT((registers_flags & FLAGS_ARITHMETIC) == FLAGS_ARITHMETIC);
#endif
}
