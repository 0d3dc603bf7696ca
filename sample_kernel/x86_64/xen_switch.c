/* SPDX-License-Identifier: MIT */
/*
 * Switches from Xen's backend to what was linked, and back, in a PV domain with the timer running.
 * Each time, sites of every kind must act as their ops: the defaults of native_entry.S go to Xen's
 * code, too. A second processor runs them all the while, but waits outside of them while they
 * change.
 */
#include "bp_paravirt.h"
#include "kernel.h"
#include "paravirt.h"
#include "sites.h"
#include "xen.h"

static uint32_t wrong, wrong_line, loads, second_loads;
static bool two, stop, asked, waits; /* asked: the second processor is to wait */

static void expect(bool good, uint32_t line)
{
	if (!good) {
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		wrong_line = line;
	}
}
#define EXPECT(good) expect(good, __LINE__)

static bool is_on(void) /* of this processor */
{
	uint8_t mask;

	__asm__ volatile("movb %%gs:%c1, %0" : "=q"(mask) : "i"(XEN_MASK) : "memory");
	return !mask;
}

static void load_irq(void)
{
	unsigned long flags;

	pv_irq_enable();
	EXPECT(is_on() && site_tail() & FLAGS_IF && site_pointers_data[1]() & FLAGS_IF);
	flags = pv_irq_save();
	pv_irq_disable();
	EXPECT(!is_on() && flags & FLAGS_IF && !(pv_irq_save() & FLAGS_IF));
	pv_irq_restore(flags);
	EXPECT(is_on());
	site_jb(10);
	EXPECT(is_on());
	site_jb(9);
	EXPECT(!is_on());
	site_jnz(1);
	EXPECT(is_on());
	site_pointers[1]();
	EXPECT(!is_on());
	site_pointers[0]();
	EXPECT(is_on());
	IRQ_CALL("pv_irq_disable");
	EXPECT(!is_on());
	IRQ_CALL("pv_irq_enable");
	EXPECT(is_on());
}

static void load_paging(void)
{
	unsigned long *entry = paging_entry(data_start), value = *entry;
	unsigned long own = physical(data_start) | PTE_PRESENT;

	EXPECT(pv_pte_val(pv_make_pte(own)) == own && pv_make_pte(own) != own);
	EXPECT(site_address_val(site_address_make(own)) == own);
	EXPECT((pv_pte_val(value) & PTE_ADDRESS) == physical(data_start));
	pv_set_pte(entry, value);
	EXPECT(*entry == value);
	pv_flush_tlb();
	site_tail_long();
	EXPECT(pv_read_cr3() == paging_root() && site_address_cr3() == paging_root());
	EXPECT(site_pointers_data[0]() == paging_root());
	pv_write_cr3(paging_root());
}

static void load_cpu(uint32_t round)
{
	struct cpuid id = pv_cpuid(XEN_LEAF, 0);

	EXPECT(!memcmp(&id.ebx, XEN_VENDOR, 12));
	pv_wrmsr(MSR_SCRATCH, round);
	EXPECT(pv_rdmsr(MSR_SCRATCH) == round && site_slot_call(MSR_SCRATCH) == round);
	site_slot_jump(MSR_SCRATCH, round + 1);
	EXPECT(site_slot_call_absolute(MSR_SCRATCH) == round + 1);
	site_slot_jump_absolute(MSR_SCRATCH, round + 2);
	EXPECT(pv_rdmsr(MSR_SCRATCH) == round + 2);
	write_cr2(round);
	EXPECT(pv_read_cr2() == round && site_address_cr2() == round);
	pv_io_delay();
	site_pointers[2]();
	EXPECT(site_tail_nothing() == 42 && site_jz_nothing(0) == 42 && site_jz_nothing(1) == 43);
}

static void load(uint32_t *count)
{
	load_irq();
	load_paging();
	load_cpu(++*count);
	__asm__ volatile("int3");
}

static void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

static void until(bool *flag, bool value)
{
	while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != value)
		__asm__ volatile("pause");
}

static void second(void)
{
	xen_allow_ports();
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&asked, __ATOMIC_ACQUIRE)) {
			set(&waits, true);
			until(&asked, false);
			cpuid(0, 0); /* serializes: the new code is executed from here on */
			set(&waits, false);
		}
		load(&second_loads);
	}
	set(&waits, true);
	xen_smp_end();
}

/* Nothing that is a site runs meanwhile: events are masked, and the other processor waits. */
static void switch_to(const struct bp_backend *from, const struct bp_backend *to)
{
	set(&asked, two);
	until(&waits, two);
	xen_vcpu.mask = 1;
	xen_writable(true);
	if (bp_switch(&bp_paravirt, from, to, kernel_start, kernel_end, bp_write, NULL).error)
		panic("switch failed");
	xen_writable(false);
	set(&asked, false);
	until(&waits, false);
	xen_vcpu.mask = 0;
	if (xen_vcpu.pending)
		xen_must(XEN_XEN_VERSION, 0, 0, 0, 0);
}

static bool as_linked(void)
{
	return !bp_fixup(&bp_paravirt, &bp_paravirt_xen, kernel_start, kernel_end, NULL, NULL)
		    .error;
}

bool xen_switch_test(uint32_t number, const struct bp_backend *chosen)
{
	const struct bp_backend *other = chosen ? NULL : &bp_paravirt_xen;
	uint32_t linked = 0;

	two = xen_smp_start(second);
	timer_start();
	for (uint32_t i = 0; i < number; i++) {
		switch_to(chosen, other);
		linked += as_linked() == !other;
		load(&loads);
		if (i % 10 == 0)
			pv_halt(); /* until the timer's next tick, on however fast a machine */
		switch_to(other, chosen);
		linked += as_linked() == !chosen;
		load(&loads);
	}
	pv_halt();
	timer_stop();
	set(&stop, true);
	until(&waits, two);
	pv_irq_disable();
	print("switches %u, loads %u, ticks %lu, processors %u, loads of the second %u\n",
	      2 * number, loads, ticks, two + 1, second_loads);
	print("switches: %u wrong, the last at line %u, %s\n", wrong, wrong_line,
	      linked == 2 * number ? "as linked" : "not as linked");
	return !wrong && linked == 2 * number;
}
