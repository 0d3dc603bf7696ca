/* SPDX-License-Identifier: MIT */
/*
 * The ops of a kernel without paravirt: the instructions themselves, in registers of the
 * compiler's choice. The baseline for measuring a paravirt kernel on bare hardware.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include "x86.h"

#ifdef __ASSEMBLER__
/* clang-format off */
#define PV(op) NATIVE_##op
#define PV_AX(op) NATIVE_##op
#define PV_ROOM(op) NATIVE_##op
#define NATIVE_io_delay
#define NATIVE_irq_save pushf; pop AX
#define NATIVE_irq_disable cli
#define NATIVE_irq_enable sti
#define NATIVE_read_cr2 mov %cr2, AX
/* clang-format on */
#else
#include <stdint.h>

static inline unsigned long pv_make_pte(unsigned long value)
{
	return value;
}

static inline unsigned long pv_pte_val(unsigned long pte)
{
	return pte;
}

static inline void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	*(volatile unsigned long *)entry = pte;
}

static inline unsigned long pv_read_cr3(void)
{
	return read_cr3();
}

static inline void pv_write_cr3(unsigned long value)
{
	write_cr3(value);
}

static inline void pv_flush_tlb(void)
{
	write_cr3(read_cr3());
}

static inline void pv_irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void pv_irq_disable(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline unsigned long pv_irq_save(void)
{
	return read_flags();
}

static inline void pv_irq_restore(unsigned long flags)
{
	write_flags(flags);
}

static inline unsigned long pv_read_cr2(void)
{
	return read_cr2();
}

static inline void pv_io_delay(void)
{
}

static inline struct cpuid pv_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid(leaf, subleaf);
}

static inline uint64_t pv_rdmsr(uint32_t msr)
{
	return rdmsr(msr);
}

static inline void pv_wrmsr(uint32_t msr, uint64_t value)
{
	wrmsr(msr, value);
}

static inline void pv_halt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

static inline void pv_stop(void)
{
	__asm__ volatile("cli; hlt" : : : "memory");
}
#endif

#endif
