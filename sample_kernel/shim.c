/* SPDX-License-Identifier: MIT */
/*
 * A backend in the manner of a hypervisor's, lguest say: the kernel's interrupt flag is a word in
 * memory and the processor's stays on, page table entries have a form of their own until they are
 * stored, and every call is counted. The functions named shim_<op> stand in paravirt.toml.
 */
#include "shim.h"
#include "kernel.h"
#include "paravirt.h"

volatile uint32_t shim_if;
volatile uint32_t shim_pending;
volatile uint32_t shim_calls[SHIM_OPS];
static bool running;

/* The hypervisor's side. */

void shim_start(void)
{
	running = true;
	__asm__ volatile("sti" : : : "memory");
}

/* How many ticks the kernel gets at this timer interrupt. */
uint32_t shim_deliver(bool enabled)
{
	uint32_t due = shim_pending + 1;

	if (!running)
		return 1;
	shim_pending = enabled ? 0 : due;
	return enabled ? due : 0;
}

/* The ops. */

void shim_irq_restore(unsigned long flags);
void shim_halt(void);
void shim_io_delay(void);
unsigned long shim_make_pte(unsigned long value);
unsigned long shim_pte_val(unsigned long pte);
void shim_set_pte(unsigned long *entry, unsigned long pte);
unsigned long shim_read_cr3(void);
void shim_write_cr3(unsigned long value);
void shim_flush_tlb(void);
struct cpuid shim_cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t shim_rdmsr(uint32_t msr);
void shim_wrmsr(uint32_t msr, uint64_t value);

void shim_irq_restore(unsigned long flags)
{
	shim_calls[SHIM_IRQ_RESTORE]++;
	shim_if = !!(flags & FLAGS_IF);
}

void shim_io_delay(void)
{
	shim_calls[SHIM_IO_DELAY]++;
}

void shim_halt(void)
{
	shim_calls[SHIM_HALT]++;
	shim_if = 1;
	__asm__ volatile("hlt" : : : "memory");
}

unsigned long shim_make_pte(unsigned long value)
{
	shim_calls[SHIM_MAKE_PTE]++;
	return value ^ PTE_PSEUDO;
}

unsigned long shim_pte_val(unsigned long pte)
{
	shim_calls[SHIM_PTE_VAL]++;
	return pte ^ PTE_PSEUDO;
}

void shim_set_pte(unsigned long *entry, unsigned long pte)
{
	shim_calls[SHIM_SET_PTE]++;
	*(volatile unsigned long *)entry = pte ^ PTE_PSEUDO;
}

unsigned long shim_read_cr3(void)
{
	shim_calls[SHIM_READ_CR3]++;
	return read_cr3();
}

void shim_write_cr3(unsigned long value)
{
	shim_calls[SHIM_WRITE_CR3]++;
	write_cr3(value);
}

void shim_flush_tlb(void)
{
	shim_calls[SHIM_FLUSH_TLB]++;
	write_cr3(read_cr3());
}

struct cpuid shim_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = native_cpuid(leaf, subleaf);

	shim_calls[SHIM_CPUID]++;
	if (leaf == SHIM_LEAF)
		memcpy(&r.ebx, SHIM_VENDOR, 12); /* ebx, ecx, edx */
	return r;
}

uint64_t shim_rdmsr(uint32_t msr)
{
	shim_calls[SHIM_RDMSR]++;
	return native_rdmsr(msr);
}

void shim_wrmsr(uint32_t msr, uint64_t value)
{
	shim_calls[SHIM_WRMSR]++;
	native_wrmsr(msr, value);
}
