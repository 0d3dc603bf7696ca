/* SPDX-License-Identifier: MIT */
/*
 * The ops of a kernel without paravirt: the instructions themselves, in registers of the
 * compiler's choice. The baseline for measuring a paravirt kernel on bare hardware.
 */
#ifndef NATIVE_H
#define NATIVE_H

#ifdef __ASSEMBLER__
/* clang-format off */
#define PV(op) NATIVE_##op
#define PV_ROOM(op) NATIVE_##op
#define NATIVE_io_delay
#define NATIVE_irq_save_a0 csrr a0, sstatus; andi a0, a0, FLAGS_IF
#define NATIVE_irq_disable csrci sstatus, 2
#define NATIVE_irq_enable csrsi sstatus, 2
#define NATIVE_read_stval csrr a0, stval
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

static inline unsigned long pv_read_root(void)
{
	return read_root();
}

static inline void pv_write_root(unsigned long root)
{
	__asm__ volatile("csrw satp, %0; sfence.vma" : : "r"(root) : "memory");
}

static inline void pv_flush_tlb(void)
{
	__asm__ volatile("sfence.vma" : : : "memory");
}

static inline void pv_irq_enable(void)
{
	flags_on();
}

static inline void pv_irq_disable(void)
{
	flags_off();
}

static inline unsigned long pv_irq_save(void)
{
	return read_flags();
}

static inline void pv_irq_restore(unsigned long flags)
{
	write_flags(flags);
}

static inline unsigned long pv_read_fault(void)
{
	unsigned long value;

	__asm__ volatile("csrr %0, stval" : "=r"(value) : : "memory");
	return value;
}

static inline void pv_io_delay(void)
{
}

static inline void pv_halt(void)
{
	__asm__ volatile("wfi; csrsi sstatus, 2" : : : "memory");
}

static inline void pv_stop(void)
{
	__asm__ volatile("csrci sstatus, 2; wfi" : : : "memory");
}

static inline void pv_set_timer(unsigned long time)
{
	__asm__ volatile("csrw %0, %1" : : "i"(STIMECMP), "r"(time) : "memory");
}
#endif

#endif
