/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does through a backend. Each is a call that declares the registers
 * that it uses; all of them write ra. paravirt.toml declares that references to these symbols are
 * sites, what an implementation may write, and what each backend provides. x86/paravirt.h says
 * more of those that it has, too.
 *
 * Compiled with NO_PARAVIRT the ops are only native.h's instructions.
 */
#ifndef PARAVIRT_H
#define PARAVIRT_H

#include "arch.h"
#include "buildplug.h"

#ifndef __ASSEMBLER__
/* The ops that are called through slots, with the calling convention of the instructions. */
struct pv_cpu_ops {
	void (*halt)(void); /* enables interrupts and waits for one */
	void (*stop)(void); /* waits for good */
};
extern struct pv_cpu_ops pv_cpu_ops;
#endif

#ifdef NO_PARAVIRT
#include "native.h"
#elif defined(__ASSEMBLER__)
#define PV(op) call pv_##op
#define PV_ROOM(op) bp_call_12 pv_##op
#else
#include <stdint.h>

#define PV_OP static inline __attribute__((always_inline))

/* Some compilers have a constant 0 in the register "zero", for which there is no op. */
#define PV_NOT_ZERO(value)                                                                         \
	do {                                                                                       \
		if (__builtin_constant_p(value))                                                   \
			__asm__("" : "+r"(value));                                                 \
	} while (0)

PV_OP unsigned long pv_make_pte(unsigned long value)
{
	__asm__("call pv_make_pte_%0" : "+r"(value) : : "ra");
	return value;
}

PV_OP unsigned long pv_pte_val(unsigned long pte)
{
	__asm__("call pv_pte_val_%0" : "+r"(pte) : : "ra");
	return pte;
}

PV_OP void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	register unsigned long *a0 __asm__("a0") = entry;

	PV_NOT_ZERO(pte);
	__asm__ volatile("call pv_set_pte_%0" : : "r"(pte), "r"(a0) : "ra", "memory");
}

PV_OP unsigned long pv_read_root(void)
{
	register unsigned long value __asm__("a0");

	__asm__ volatile("call pv_read_satp" : "=r"(value) : : "ra", "memory");
	return value;
}

PV_OP void pv_write_root(unsigned long root)
{
	register unsigned long a0 __asm__("a0") = root;

	__asm__ volatile("call pv_write_satp" : : "r"(a0) : "ra", "memory");
}

PV_OP void pv_flush_tlb(void)
{
	__asm__ volatile("call pv_flush_tlb" : : : "ra", "memory");
}

/*
 * Entry code calls the following with every register live but ra and the result's. The flags may
 * be in any register: the name has it.
 */
PV_OP void pv_irq_enable(void)
{
	__asm__ volatile("call pv_irq_enable" : : : "ra", "memory");
}

PV_OP void pv_irq_disable(void)
{
	__asm__ volatile("call pv_irq_disable" : : : "ra", "memory");
}

/* Returns the flags, which are FLAGS_IF or 0, without disabling interrupts. */
PV_OP unsigned long pv_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("call pv_irq_save_%0" : "=r"(flags) : : "ra", "memory");
	return flags;
}

PV_OP void pv_irq_restore(unsigned long flags)
{
	PV_NOT_ZERO(flags);
	__asm__ volatile("call pv_irq_restore_%0" : : "r"(flags) : "ra", "memory");
}

PV_OP unsigned long pv_read_fault(void)
{
	register unsigned long value __asm__("a0");

	__asm__ volatile("call pv_read_stval" : "=r"(value) : : "ra", "memory");
	return value;
}

PV_OP void pv_io_delay(void)
{
	__asm__ volatile("call pv_io_delay" : : : "ra", "memory");
}

PV_OP void pv_halt(void)
{
	__asm__ volatile(BP_SLOT_CALL("pv_cpu_ops") : : : "ra", "memory");
}

PV_OP void pv_stop(void)
{
	__asm__ volatile(BP_SLOT_CALL("pv_cpu_ops + 8") : : : "ra", "memory");
}

/* When the timer interrupts next: what rdtime reads then. */
PV_OP void pv_set_timer(unsigned long time)
{
	register unsigned long a0 __asm__("a0") = time;

	__asm__ volatile("call pv_set_timer" : : "r"(a0) : "ra", "memory");
}
#endif

#ifndef __ASSEMBLER__
static inline void paging_prepare(void)
{
}

/* These are called by the C convention. */
void pv_put(unsigned long byte); /* to the console */
void pv_load_traps(void);	 /* interrupts.c: the entry of all traps */
#endif

#endif
