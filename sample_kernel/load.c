/* SPDX-License-Identifier: MIT */
/*
 * Sites of every kind, executed while backends are switched: each call of an op must act as under
 * one of the two backends. These have different interrupt flags, and the shim's is shared by all
 * processors: so the load sets the processor's flag itself, and checks
 * nothing else.
 */
#include "check.h"
#include "paravirt.h"
#include "shim.h"
#include "sites.h"
#include "smp.h"

uint32_t load_wrong, load_wrong_line, load_shims;

static void expect(bool good, uint32_t line)
{
	if (good)
		return;
	load_wrong_line = line;
	__atomic_add_fetch(&load_wrong, 1, __ATOMIC_RELAXED);
}
#define EXPECT(good) expect(good, __LINE__)

void load_flags_on(void)
{
	shim_if = 1;
	__asm__ volatile("sti" : : : "memory");
}

void load_flags_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static bool is_on(void)
{
	return read_flags() & FLAGS_IF;
}

/* The shim's flags are the interrupt flag alone; bit 1 of the processor's is always set. */
static bool plausible(unsigned long flags)
{
	return flags == 0 || flags == FLAGS_IF || (flags & 2 && flags < 1 << 12);
}

/* Under the shim an op does not change the processor's interrupt flag; it is called only where it
 * does not change it under native either. */
static void load_irq(void)
{
	load_flags_on();
	EXPECT(plausible(pv_irq_save()) && is_on());
	EXPECT(plausible(site_tail()) && is_on());
	EXPECT(plausible(site_pointers_data[1]()) && is_on());
	pv_irq_restore(2 | FLAGS_IF);
	EXPECT(is_on());
	pv_irq_enable();
	EXPECT(is_on());
	site_jb(10);
	EXPECT(is_on());
	__asm__ volatile(IRQ_CALL("pv_irq_enable") : : : "memory", "cc");
	EXPECT(is_on());
	load_flags_off();
	pv_irq_disable();
	EXPECT(!is_on());
	__asm__ volatile(IRQ_CALL("pv_irq_disable") : : : "memory");
	EXPECT(!is_on());
	site_jb(9);
	EXPECT(!is_on());
	site_jnz(0);
	EXPECT(!is_on());
	site_pointers[1]();
	EXPECT(!is_on());
	pv_irq_restore(2);
	EXPECT(!is_on());
	EXPECT(plausible(pv_irq_save()) && !is_on());
	load_flags_on();
	site_jnz(1);
	EXPECT(is_on());
	site_pointers[0]();
	EXPECT(is_on());
}

static void load_pte(void)
{
	unsigned long value = 0x12345003, mask = PTE_PSEUDO, entry = 0;

	EXPECT(((pv_make_pte(value) ^ value) & ~mask) == 0);
	EXPECT(((pv_pte_val(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_make(value) ^ value) & ~mask) == 0);
	EXPECT(((site_address_val(value) ^ value) & ~mask) == 0);
	pv_set_pte(&entry, value);
	EXPECT(((entry ^ value) & ~mask) == 0);
}

static void load_registers(void)
{
	unsigned long root = read_cr3();

	EXPECT(pv_read_cr3() == root);
	EXPECT(site_address_root() == root);
	EXPECT(site_pointers_data[0]() == root);
	pv_write_cr3(root);
	pv_flush_tlb();
	site_tail_long();
	EXPECT(read_cr3() == root);
	write_cr2(0x1234567);
	EXPECT(pv_read_cr2() == 0x1234567);
	EXPECT(site_address_fault() == 0x1234567);
	pv_io_delay();
	site_pointers[2]();
	EXPECT(site_tail_nothing() == 42);
	EXPECT(site_jz_nothing(0) == 42);
	EXPECT(site_jz_nothing(1) == 43);
}

static bool is_cpuid(const struct cpuid *found)
{
	struct cpuid native = cpuid(SHIM_LEAF, 0);
	bool shim = !memcmp(&found->ebx, SHIM_VENDOR, 12);

	load_shims += shim;
	return found->eax == native.eax && (shim || !memcmp(found, &native, sizeof(native)));
}

static void load_cpu(void)
{
	uint64_t efer = rdmsr(MSR_EFER);
	struct cpuid id = pv_cpuid(SHIM_LEAF, 0);

	EXPECT(is_cpuid(&id));
	EXPECT(pv_rdmsr(MSR_EFER) == efer);
	EXPECT(site_slot_call(MSR_EFER) == efer);
	EXPECT(site_slot_call_absolute(MSR_EFER) == efer);
	pv_wrmsr(MSR_SYSENTER_EIP, 0x1234);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x1234);
	site_slot_jump(MSR_SYSENTER_EIP, 0x5678);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x5678);
	site_slot_jump_absolute(MSR_SYSENTER_EIP, 0x9abc);
	EXPECT(rdmsr(MSR_SYSENTER_EIP) == 0x9abc);
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
	EXPECT((registers_flags & FLAGS_ARITHMETIC) == FLAGS_ARITHMETIC);
}
