/* SPDX-License-Identifier: MIT */
/*
 * The ops of a kernel for Xen alone: what paravirt.toml has for it, as instructions or as calls of
 * xen_entry.S. The baseline for measuring a paravirt kernel under Xen.
 */
#ifndef XEN_ONLY_H
#define XEN_ONLY_H

#include "xen.h"

#ifdef __ASSEMBLER__
/* clang-format off */
#define PV(op) XEN_ONLY_##op
#define PV_AX(op) XEN_ONLY_##op
#define PV_ROOM(op) XEN_ONLY_##op
#define XEN_ONLY_io_delay
#define XEN_ONLY_irq_save mov %gs:XEN_PENDING, %rax; not %rax; lea (%rax, %rax), %rax
#define XEN_ONLY_irq_enable movb $0, %gs:XEN_MASK; cmpb $0, %gs:XEN_PENDING; je 2f; call xen_deliver; 2:
#define XEN_ONLY_irq_disable movb $1, %gs:XEN_MASK
#define XEN_ONLY_read_cr2 mov %gs:XEN_CR2, %rax
/* clang-format on */
#else
extern unsigned long xen_root;

#define XEN_TAKE "cmpb $0, %%gs:0; je 1f; call xen_deliver; 1:" /* what is pending */

static inline unsigned long pv_make_pte(unsigned long value)
{
	__asm__("call xen_make_pte_%V0" : "+r"(value) : : "cc");
	return value;
}

static inline unsigned long pv_pte_val(unsigned long pte)
{
	__asm__("call xen_pte_val_%V0" : "+r"(pte) : : "cc");
	return pte;
}

static inline void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	__asm__ volatile("call xen_set_pte_%V0" : : "r"(pte), "a"(entry) : "memory", "cc");
}

static inline unsigned long pv_read_cr3(void)
{
	return *(volatile unsigned long *)&xen_root;
}

static inline void pv_write_cr3(unsigned long value)
{
	__asm__ volatile("call xen_write_cr3" : : "a"(value) : "memory", "cc");
}

static inline void pv_flush_tlb(void)
{
	__asm__ volatile("call xen_flush_tlb" : : : "memory", "cc");
}

static inline void pv_irq_disable(void)
{
	__asm__ volatile("movb $1, %%gs:%c0" : : "i"(XEN_MASK) : "memory");
}

static inline void pv_irq_enable(void)
{
	__asm__ volatile("movb $0, %%gs:%c0; " XEN_TAKE : : "i"(XEN_MASK) : "memory", "cc");
}

static inline unsigned long pv_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("mov %%gs:%c1, %0; not %0; lea (%0, %0), %0"
			 : "=r"(flags)
			 : "i"(XEN_PENDING)
			 : "memory");
	return flags;
}

static inline void pv_irq_restore(unsigned long flags)
{
	__asm__ volatile("bt %2, %0; setnc %%gs:%c1; jnc 1f; " XEN_TAKE
			 :
			 : "r"(flags), "i"(XEN_MASK), "i"(FLAGS_IF_BIT)
			 : "memory", "cc");
}

static inline unsigned long pv_read_cr2(void)
{
	unsigned long value;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(value) : "i"(XEN_CR2) : "memory");
	return value;
}

static inline void pv_io_delay(void)
{
}

static inline struct cpuid pv_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile(".byte 0x0f, 0x0b; .ascii \"xen\"; cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
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
	__asm__ volatile("call xen_halt" : : : "memory", "cc");
}

static inline void pv_stop(void)
{
	__asm__ volatile("call xen_stop" : : : "memory", "cc");
}
#endif

#endif
