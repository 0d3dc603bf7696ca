/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does through a backend. Each is a call that declares the registers
 * that it uses; the compiler keeps all others, as it does around the instruction that the call
 * becomes on bare hardware. Argument and result share a register, so an op that does nothing needs
 * no instruction. paravirt.toml declares that references to these symbols are sites, what an
 * implementation may write, and what each backend provides.
 *
 * Compiled with NO_PARAVIRT the ops are only native.h's instructions, with XEN_ONLY Xen's code.
 */
#ifndef PARAVIRT_H
#define PARAVIRT_H

#include "buildplug.h"
#include "x86.h"

#ifndef __ASSEMBLER__
/*
 * The ops that are called through slots. sites.S and paravirt.toml depend on the offsets. Their
 * calling convention is that of the instructions, not that of C.
 */
struct pv_cpu_ops {
	void (*rdmsr)(void);
	void (*wrmsr)(void);
	void (*halt)(void); /* enables interrupts and waits for one */
	void (*stop)(void); /* waits for good */
};
extern struct pv_cpu_ops pv_cpu_ops;
#endif

#ifdef NO_PARAVIRT
#include "native.h"
#elif defined(XEN_ONLY)
#include "xen_only.h"
#elif defined(__ASSEMBLER__)
#define PV(op) call pv_##op
#define PV_AX(op) XEN_SAVE_ROOM OF_AX(pv_##op)
#define PV_ROOM(op) IRQ_ROOM pv_##op
#define PV_FUNCTION(op) pv_##op
#else
#include <stddef.h>
#include <stdint.h>

#define PV_OP static inline __attribute__((always_inline))

/*
 * Page table entries are in the backend's format, from make_pte on and in the tables, too: whoever
 * reads one, stored or not, does so by pte_val. Only the present bit is everywhere where the
 * processor has it. Only set_pte may change an entry of a table in use. A page that becomes a
 * table, by an entry of one or by write_cr3, is first mapped read-only: a hypervisor refuses it
 * otherwise. Addresses of tables, and what read_cr3 and write_cr3 say, are physical().
 */
PV_OP unsigned long pv_make_pte(unsigned long value)
{
	__asm__("call pv_make_pte_%V0" : "+r"(value) : : "cc");
	return value;
}

PV_OP unsigned long pv_pte_val(unsigned long pte)
{
	__asm__("call pv_pte_val_%V0" : "+r"(pte) : : "cc");
	return pte;
}

PV_OP void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	__asm__ volatile("call pv_set_pte_%V0" : : "r"(pte), "a"(entry) : "memory", "cc");
}

PV_OP unsigned long pv_read_cr3(void)
{
	unsigned long value;

	__asm__ volatile(XEN_CALL("pv_read_cr3") : "=a"(value) : : "memory", "cc");
	return value;
}

PV_OP void pv_write_cr3(unsigned long value)
{
	__asm__ volatile("call pv_write_cr3" : : "a"(value) : "memory", "cc");
}

/* The native code is longer than a call. */
PV_OP void pv_flush_tlb(void)
{
	unsigned long value;

	__asm__ volatile(BP_CALL_8("pv_flush_tlb") : "=a"(value) : : "memory", "cc");
}

PV_OP void pv_irq_enable(void)
{
	__asm__ volatile(XEN_ENABLE_CALL("pv_irq_enable") : : : "memory", "cc");
}

PV_OP void pv_irq_restore(unsigned long flags)
{
	__asm__ volatile(XEN_RESTORE_CALL("pv_irq_restore_%V0") : : "r"(flags) : "memory", "cc");
}

/*
 * Entry code calls the following with every register live: they change only the result's register.
 * The flags may be in any register: the name has it.
 */
PV_OP void pv_irq_disable(void)
{
	__asm__ volatile(XEN_CALL("pv_irq_disable") : : : "memory");
}

/* Returns the flags without disabling interrupts. */
PV_OP unsigned long pv_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile(XEN_SAVE_CALL("pv_irq_save_%V0") : "=r"(flags) : : "memory");
	return flags;
}

PV_OP unsigned long pv_read_cr2(void)
{
	unsigned long value;

	__asm__ volatile(XEN_CALL("pv_read_cr2") : "=a"(value) : : "memory");
	return value;
}

PV_OP void pv_io_delay(void)
{
	__asm__ volatile("call pv_io_delay" : : : "memory");
}

PV_OP struct cpuid pv_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile(XEN_CALL("pv_cpuid")
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf)
			 : "cc");
	return r;
}

#ifdef __x86_64__
#define PV_SLOT_CALL "call *pv_cpu_ops + %c[slot](%%rip)"
#else
#define PV_SLOT_CALL "call *pv_cpu_ops + %c[slot]"
#endif

PV_OP uint64_t pv_rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile(PV_SLOT_CALL
			 : "=a"(low), "=d"(high)
			 : "c"(msr), [slot] "i"(offsetof(struct pv_cpu_ops, rdmsr))
			 : "cc");
	return (uint64_t)high << 32 | low;
}

PV_OP void pv_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile(
	    PV_SLOT_CALL
	    :
	    : "c"(msr), "a"((uint32_t)value),
	      "d"((uint32_t)(value >> 32)), [slot] "i"(offsetof(struct pv_cpu_ops, wrmsr))
	    : "memory", "cc");
}

PV_OP void pv_halt(void)
{
	__asm__ volatile(PV_SLOT_CALL
			 :
			 : [slot] "i"(offsetof(struct pv_cpu_ops, halt))
			 : "memory", "cc");
}

PV_OP void pv_stop(void)
{
	__asm__ volatile(PV_SLOT_CALL
			 :
			 : [slot] "i"(offsetof(struct pv_cpu_ops, stop))
			 : "memory", "cc");
}
#endif

#ifndef __ASSEMBLER__
/* The names by which code for all architectures calls ops. */
static inline unsigned long pv_read_root(void)
{
	return pv_read_cr3();
}

static inline void pv_write_root(unsigned long root)
{
	pv_write_cr3(root);
}

static inline unsigned long pv_read_fault(void)
{
	return pv_read_cr2();
}

/* Before a table is in use that has PTE_NX. */
static inline void paging_prepare(void)
{
	if (PTE_NX)
		pv_wrmsr(MSR_EFER, pv_rdmsr(MSR_EFER) | EFER_NXE);
}

/* These are called once, by the C convention. */
void pv_load_segments(
    void); /* segments.c: the descriptors of segments, and the double fault's stack */
void pv_load_traps(void); /* interrupts.c: the entry of each vector */
#endif

#endif
