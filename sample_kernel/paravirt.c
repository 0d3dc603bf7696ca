/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops, which run until fixup and without it: the real
 * instructions. Nothing here calls an op, so that every call of one has a relocation.
 */
#include "paravirt.h"
#include "x86.h"

#ifdef __clang__
#define PV_OP __attribute__((noinline))
#else
#define PV_OP __attribute__((noipa))
#endif

PV_OP unsigned long pv_make_pte(unsigned long value)
{
	return value;
}

PV_OP unsigned long pv_pte_val(unsigned long pte)
{
	return pte;
}

PV_OP void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	*(volatile unsigned long *)entry = pte;
}

PV_OP unsigned long pv_read_cr3(void)
{
	return read_cr3();
}

PV_OP void pv_write_cr3(unsigned long value)
{
	write_cr3(value);
}

PV_OP void pv_flush_tlb(void)
{
	write_cr3(read_cr3());
}

PV_OP void pv_irq_restore(unsigned long flags)
{
	write_flags(flags);
}

struct cpuid native_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

uint64_t native_rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

void native_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

void native_halt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

struct pv_cpu_ops pv_cpu_ops = {
    .cpuid = native_cpuid,
    .rdmsr = native_rdmsr,
    .wrmsr = native_wrmsr,
    .halt = native_halt,
};
