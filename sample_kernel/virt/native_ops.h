/* SPDX-License-Identifier: MIT */
/*
 * The ops of a kernel without paravirt: the instructions themselves, of ARCH/native.h and arch.h,
 * in registers of the compiler's choice. The baseline for measuring a paravirt kernel on bare
 * hardware.
 */
#ifndef NATIVE_OPS_H
#define NATIVE_OPS_H

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

static inline void pv_flush_tlb(void)
{
	__asm__ volatile(NATIVE_FLUSH_TLB : : : "memory");
}

static inline unsigned long pv_read_root(void)
{
	return read_root();
}

static inline void pv_write_root(unsigned long root)
{
	__asm__ volatile(NATIVE_WRITE_ROOT : : "r"(root) : "memory");
	if (ROOT_LEAVES_TLB)
		pv_flush_tlb();
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

	__asm__ volatile(NATIVE_READ_FAULT : "=r"(value) : : "memory");
	return value;
}

static inline void pv_io_delay(void)
{
}

static inline void pv_halt(void)
{
	__asm__ volatile(NATIVE_HALT : : : "memory");
}

static inline void pv_stop(void)
{
	__asm__ volatile(NATIVE_STOP : : : "memory");
}

static inline void pv_set_timer(unsigned long time)
{
	__asm__ volatile(NATIVE_SET_TIMER : : "r"(time) : "memory");
}

#endif
