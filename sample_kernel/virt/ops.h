/* SPDX-License-Identifier: MIT */
/*
 * The pv ops of the architectures that have QEMU's machine `virt`, for ARCH/paravirt.h, which says
 * how they are called. x86/paravirt.h says more of those that it has, too.
 */
#ifndef OPS_H
#define OPS_H

#ifndef __ASSEMBLER__
/* The ops that are called through slots, with the calling convention of the instructions. */
struct pv_cpu_ops {
	void (*halt)(void); /* enables interrupts and waits for one */
	void (*stop)(void); /* waits for good */
};
extern struct pv_cpu_ops pv_cpu_ops;

#ifdef NO_PARAVIRT
#include "native_ops.h"
#else
#define PV_OP static inline __attribute__((always_inline))

PV_OP unsigned long pv_make_pte(unsigned long value)
{
	__asm__(PV_CALL("make_pte_%0") : "+r"(value) : : PV_CALLED);
	return value;
}

PV_OP unsigned long pv_pte_val(unsigned long pte)
{
	__asm__(PV_CALL("pte_val_%0") : "+r"(pte) : : PV_CALLED);
	return pte;
}

PV_OP void pv_set_pte(unsigned long *entry, unsigned long pte)
{
	register unsigned long *first __asm__(PV_REGISTER) = entry;

	PV_NOT_ZERO(pte);
	__asm__ volatile(PV_CALL("set_pte_%0") : : "r"(pte), "r"(first) : PV_CALLED, "memory");
}

PV_OP void pv_flush_tlb(void)
{
	__asm__ volatile(PV_FLUSH_TLB : : : PV_CALLED, "memory");
}

PV_OP unsigned long pv_read_root(void)
{
	register unsigned long value __asm__(PV_REGISTER);

	__asm__ volatile(PV_CALL("read_root") : "=r"(value) : : PV_CALLED, "memory");
	return value;
}

PV_OP void pv_write_root(unsigned long root)
{
	register unsigned long first __asm__(PV_REGISTER) = root;

	__asm__ volatile(PV_WRITE_ROOT : : "r"(first) : PV_CALLED, "memory");
	if (ROOT_LEAVES_TLB)
		pv_flush_tlb();
}

/*
 * Entry code calls the following with every register live but those that a call writes and the
 * result's. The flags may be in any register: the name has it.
 */
PV_OP void pv_irq_enable(void)
{
	__asm__ volatile(PV_CALL("irq_enable") : : : PV_CALLED, "memory");
}

PV_OP void pv_irq_disable(void)
{
	__asm__ volatile(PV_CALL("irq_disable") : : : PV_CALLED, "memory");
}

/* Returns the flags without disabling interrupts. */
PV_OP unsigned long pv_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile(PV_CALL("irq_save_%0") : "=r"(flags) : : PV_CALLED, "memory");
	return flags;
}

PV_OP void pv_irq_restore(unsigned long flags)
{
	PV_NOT_ZERO(flags);
	__asm__ volatile(PV_CALL("irq_restore_%0") : : "r"(flags) : PV_CALLED, "memory");
}

PV_OP unsigned long pv_read_fault(void)
{
	register unsigned long value __asm__(PV_REGISTER);

	__asm__ volatile(PV_CALL("read_fault") : "=r"(value) : : PV_CALLED, "memory");
	return value;
}

PV_OP void pv_io_delay(void)
{
	__asm__ volatile(PV_CALL("io_delay") : : : PV_CALLED, "memory");
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
	register unsigned long first __asm__(PV_REGISTER) = time;

	__asm__ volatile(PV_CALL("set_timer") : : "r"(first) : PV_CALLED, "memory");
}
#endif

static inline void paging_prepare(void)
{
}

/* By the C convention. */
void pv_load_traps(void); /* interrupts.c: the entry of traps */
#endif

#endif
