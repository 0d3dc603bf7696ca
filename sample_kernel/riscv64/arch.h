/* SPDX-License-Identifier: MIT */
/*
 * riscv64 on QEMU's machine `virt`: bits of CSRs and page tables (The RISC-V Instruction Set
 * Manual, vol. II, "Supervisor-Level ISA"), devices, and instructions that C lacks. x86/x86.h
 * defines the same names for C.
 */
#ifndef ARCH_H
#define ARCH_H

#define PAGE_SIZE 4096
#define WORD_SIZE 8

#define KERNEL_BASE 0xffffffff00000000
#define KERNEL_LOAD 0x80200000 /* behind OpenSBI */

#define PAGING_TOP 30  /* Sv39: lowest bit of the top table's index in an address */
#define PAGING_INDEX 9 /* bits of an index */
#define SATP_SV39 8    /* in the upper four bits */

#define PTE_PRESENT 0x1
#define PTE_READ 0x2
#define PTE_WRITE 0x4
#define PTE_EXECUTE 0x8
#define PTE_ACCESSED 0x40
#define PTE_DIRTY 0x80
#define PTE_SOFTWARE 0x100

#define SSTATUS_SIE 0x2
#define SSTATUS_SPIE_BIT 5
#define SSTATUS_SPIE (1 << SSTATUS_SPIE_BIT) /* SIE before the trap */
#define FLAGS_IF SSTATUS_SIE
#define FLAGS_OFF 0 /* for pv_irq_restore */
#define SSIE 0x2    /* of other harts, in sie and in sip */
#define STIE 0x20   /* of the timer */

#define CAUSE_BREAKPOINT 3
#define CAUSE_FETCH_FAULT 12
#define CAUSE_LOAD_FAULT 13
#define CAUSE_STORE_FAULT 15
#define CAUSE_TIMER ((1ul << 63) | 5)

/* "Sstc", which not all assemblers know. */
#define STIMECMP 0x14d

/* Ops that the shim counts, besides those of shim.h. */
#define SHIM_SET_TIMER 11
#define SHIM_PUT 12
#define SHIM_OPS 13

#define UART 0x10000000
#define TEST_DEVICE 0x100000 /* ends QEMU */
#define TEST_FAILS 0x3333    /* with a status in the upper 16 bits */

/* A call of irq_enable or irq_disable with room for more than a call. */
#define IRQ_CALL(function) __asm__ volatile(BP_CALL_12(function) : : : "ra", "memory")

/* Registers that compilers keep values in: there are ops for each. */
#define VALUE_REGISTERS                                                                            \
	t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7, s1, s2, s3, s4, s5, s6, s7,    \
	    s8, s9, s10, s11

/* registers.S: all but sp and tp, the last one for the array's address; their number. */
#define ALL_REGISTERS ra, gp, s0, VALUE_REGISTERS
#define REGISTERS 29
#define CALLEE_SAVED ra, gp, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11

#ifndef __ASSEMBLER__
#include "memory.h"

#define PTE_ADDRESS 0x003ffffffffffc00ul
#define PTE_USED (PTE_ACCESSED | PTE_DIRTY)
#define PTE_TEXT (PTE_PRESENT | PTE_READ | PTE_EXECUTE | PTE_ACCESSED)
#define PTE_RODATA (PTE_PRESENT | PTE_READ | PTE_ACCESSED)
#define PTE_DATA (PTE_PRESENT | PTE_READ | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)
#define PTE_DEVICE PTE_DATA
#define PTE_TABLE PTE_PRESENT
#define ROOT_LEAVES_TLB 0
#define PTE_OF(physical) ((physical) >> 2)
#define PTE_TO(pte) (((pte)&PTE_ADDRESS) << 2)
#define ROOT_OF(physical) ((unsigned long)SATP_SV39 << 60 | (physical) >> 12)
#define ROOT_TO(root) ((root) << 20 >> 8)

#define DEVICES                                                                                    \
	{                                                                                          \
		UART, TEST_DEVICE                                                                  \
	}

/* The words that entry.S stores, lowest address first. */
#define FRAME(word)                                                                                \
	word(ra) word(gp) word(tp) word(t0) word(t1) word(t2) word(s0) word(s1) word(a0) word(a1)  \
	    word(a2) word(a3) word(a4) word(a5) word(a6) word(a7) word(s2) word(s3) word(s4)       \
		word(s5) word(s6) word(s7) word(s8) word(s9) word(s10) word(s11) word(t3) word(t4) \
		    word(t5) word(t6) word(irq) word(stval) word(sepc) word(sstatus) word(scause)
#define FRAME_PC(frame) ((frame)->sepc)
#define FRAME_FP(frame) ((frame)->s0)
#define FRAME_VECTOR(frame) ((frame)->scause)
#define FRAME_ERROR(frame) ((frame)->scause)
#define FRAME_FAULT(frame) ((frame)->stval)
#define CALLERS_FRAME(frame) (((unsigned long *)(frame))[-2])
#define IS_PAGE_FAULT(frame)                                                                       \
	((frame)->scause == CAUSE_FETCH_FAULT || (frame)->scause == CAUSE_LOAD_FAULT ||            \
	 (frame)->scause == CAUSE_STORE_FAULT)
#define ERROR_WRITE_HOLE CAUSE_STORE_FAULT
#define ERROR_WRITE_READ_ONLY CAUSE_STORE_FAULT
#define ERROR_EXECUTE_DATA CAUSE_FETCH_FAULT
#define EXECUTE_PROTECTED 1

#define BREAKPOINT "ebreak"
#define PAUSE ".4byte 0x0100000f" /* a hint of "Zihintpause" */
#define RETURN_CODE                                                                                \
	{                                                                                          \
		0x82, 0x80                                                                         \
	} /* c.jr ra */

/* trace.S: what every function calls, and the length of such a call. */
void _mcount(void);
#define ENTRY_HOOK _mcount
#define CALL_LENGTH 8

#define DEFAULT_BACKEND "native"
#define BARE_BACKEND bp_paravirt_native
#define OTHER_CHOICES {"sbi", &bp_paravirt_sbi},
#define OTHER_CHECKS

/* Whether interrupts are on by what pv_irq_save returned. */
static inline int flags_are_on(unsigned long flags)
{
	return !!(flags & FLAGS_IF);
}

static inline unsigned long read_flags(void)
{
	unsigned long status;

	__asm__ volatile("csrr %0, sstatus" : "=r"(status) : : "memory");
	return status & FLAGS_IF;
}

static inline void write_flags(unsigned long flags)
{
	__asm__ volatile("csrci sstatus, 2; csrs sstatus, %0" : : "r"(flags) : "memory");
}

static inline void flags_on(void)
{
	__asm__ volatile("csrsi sstatus, 2" : : : "memory");
}

static inline void flags_off(void)
{
	__asm__ volatile("csrci sstatus, 2" : : : "memory");
}

static inline void write_fault(unsigned long address)
{
	__asm__ volatile("csrw stval, %0" : : "r"(address) : "memory");
}

static inline unsigned long read_root(void)
{
	unsigned long value;

	__asm__ volatile("csrr %0, satp" : "=r"(value) : : "memory");
	return value;
}

static inline unsigned long read_time(void)
{
	unsigned long value;

	__asm__ volatile("rdtime %0" : "=r"(value) : : "memory");
	return value;
}

/* Where the auipc and jalr at `site` lead; makes them lead elsewhere. */
static inline uintptr_t branch_target(uintptr_t site, unsigned length)
{
	const int32_t *words = (const int32_t *)site;

	(void)length;
	return site + (words[0] & -PAGE_SIZE) + (words[1] >> 20);
}

static inline void branch_lead(uintptr_t site, unsigned length, uintptr_t target,
			       void (*write)(void *, void *, const void *, uint32_t))
{
	uint32_t words[2], distance = target - site;

	copy_bytes(words, (const void *)site, sizeof(words));
	words[0] = (words[0] & (PAGE_SIZE - 1)) | ((distance + PAGE_SIZE / 2) & -PAGE_SIZE);
	words[1] = (words[1] & ((1 << 20) - 1)) | distance << 20;
	write(0, (void *)site, words, length);
}

static inline void end_machine(unsigned status)
{
	*(volatile uint32_t *)virtual(TEST_DEVICE) = status << 16 | TEST_FAILS;
}
#endif

#endif
