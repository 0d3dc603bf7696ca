/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does through a backend. Each is a call that declares the registers
 * that it uses; all of them write x30, and x16 and x17, as a linker may lead them through a veneer.
 * paravirt.toml declares that references to these symbols are sites, what an implementation may
 * write, and what each backend provides. x86/paravirt.h says more of those that it has, too.
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
#define PV(op) bl pv_##op
#define PV_ROOM(op) bp_call_8 pv_##op
#else
#include <stdint.h>

#define PV_OP static inline __attribute__((always_inline))
#define PV_CALLED "x16", "x17", "x30"

PV_OP unsigned long pv_make_pte(unsigned long value)
{
	__asm__("bl pv_make_pte_%0" : "+r"(value) : : PV_CALLED);
	return value;
}

PV_OP unsigned long pv_pte_val(unsigned long pte)
{
	__asm__("bl pv_pte_val_%0" : "+r"(pte) : : PV_CALLED);
	return pte;
}

PV_OP void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	register unsigned long *x0 __asm__("x0") = entry;

	__asm__ volatile("bl pv_set_pte_%0" : : "r"(pte), "r"(x0) : PV_CALLED, "memory");
}

/* Goes on to the next entry, as one instruction can: it would take another one behind pv_set_pte.
 */
PV_OP void pv_set_pte_next(unsigned long **entry, unsigned long pte)
{
	register unsigned long *x0 __asm__("x0") = *entry;

	__asm__ volatile("bl pv_set_pte_next_%1" : "+r"(x0) : "r"(pte) : PV_CALLED, "memory");
	*entry = x0;
}

PV_OP unsigned long pv_read_root(void)
{
	register unsigned long value __asm__("x0");

	__asm__ volatile("bl pv_read_ttbr1" : "=r"(value) : : PV_CALLED, "memory");
	return value;
}

/* The native code of these two is longer than a call. */
PV_OP void pv_write_ttbr1(unsigned long root)
{
	register unsigned long x0 __asm__("x0") = root;

	__asm__ volatile(BP_CALL_8("pv_write_ttbr1") : : "r"(x0) : PV_CALLED, "memory");
}

PV_OP void pv_flush_tlb(void)
{
	__asm__ volatile(BP_CALL_16("pv_flush_tlb") : : : PV_CALLED, "memory");
}

/*
 * Entry code calls the following with every register live but those that a call writes and the
 * result's. The flags, those of DAIF, may be in any register: the name has it.
 */
PV_OP void pv_irq_enable(void)
{
	__asm__ volatile("bl pv_irq_enable" : : : PV_CALLED, "memory");
}

PV_OP void pv_irq_disable(void)
{
	__asm__ volatile("bl pv_irq_disable" : : : PV_CALLED, "memory");
}

/* Returns the flags without disabling interrupts. */
PV_OP unsigned long pv_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("bl pv_irq_save_%0" : "=r"(flags) : : PV_CALLED, "memory");
	return flags;
}

PV_OP void pv_irq_restore(unsigned long flags)
{
	__asm__ volatile("bl pv_irq_restore_%0" : : "r"(flags) : PV_CALLED, "memory");
}

PV_OP unsigned long pv_read_fault(void)
{
	register unsigned long value __asm__("x0");

	__asm__ volatile("bl pv_read_far" : "=r"(value) : : PV_CALLED, "memory");
	return value;
}

PV_OP void pv_io_delay(void)
{
	__asm__ volatile("bl pv_io_delay" : : : PV_CALLED, "memory");
}

PV_OP void pv_halt(void)
{
	__asm__ volatile(BP_SLOT_CALL("pv_cpu_ops") : : : PV_CALLED, "memory");
}

PV_OP void pv_stop(void)
{
	__asm__ volatile(BP_SLOT_CALL("pv_cpu_ops + 8") : : : PV_CALLED, "memory");
}

/* When the timer interrupts next, as read_time() counts. */
PV_OP void pv_set_timer(unsigned long time)
{
	register unsigned long x0 __asm__("x0") = time;

	__asm__ volatile("bl pv_set_timer" : : "r"(x0) : PV_CALLED, "memory");
}
#endif

#ifndef __ASSEMBLER__
/* The translation of addresses by the table before ends, too. */
static inline void pv_write_root(unsigned long root)
{
	pv_write_ttbr1(root);
	pv_flush_tlb();
}

static inline void paging_prepare(void)
{
}

/* These are called by the C convention. */
/* A call of the firmware (Arm Power State Coordination Interface, DEN 0022). */
long pv_psci(unsigned long function, unsigned long a, unsigned long b, unsigned long c);
void pv_load_traps(void); /* interrupts.c: the vectors */
#endif

#endif
