/* SPDX-License-Identifier: MIT */
/*
 * aarch64 at EL1 on QEMU's machine `virt`: bits of system registers and descriptors (Arm ARM DDI
 * 0487, "AArch64 System Register Descriptions", "VMSAv8-64 translation table format descriptors"),
 * devices, and instructions that C lacks. x86/x86.h defines the same names for C.
 */
#ifndef ARCH_H
#define ARCH_H

#define PAGE_SIZE 4096
#define WORD_SIZE 8

#define KERNEL_BASE 0xffffffff00000000
#define KERNEL_LOAD 0x40200000
#define DEVICE_TREE 0x40000000 /* where QEMU has it for an ELF image */

#define PAGING_TOP 30  /* 39 bits: lowest bit of the top table's index in an address */
#define PAGING_INDEX 9 /* bits of an index */

#define PTE_PRESENT 0x1
#define PTE_PAGE 0x3
#define PTE_ATTRIBUTES 2 /* lowest bit of the index in MAIR_EL1 */
#define PTE_READ_ONLY 0x80
#define PTE_SHARED 0x300
#define PTE_ACCESSED 0x400
#define PTE_PXN_BIT 53
#define PTE_UXN_BIT 54
#define PTE_PSEUDO_BIT 55 /* for software: what the shim inverts */
#define PTE_SOFTWARE_BIT 56

#define FLAGS_MASKED 0x80 /* I of DAIF and of SPSR_EL1 */
#define FLAGS_MASKED_BIT 7
#define FLAGS_OFF FLAGS_MASKED /* for pv_irq_restore */
#define FLAGS_ARITHMETIC 0xf0000000

#define ESR_CLASS 26
#define ESR_FETCH_FAULT 0x21
#define ESR_DATA_FAULT 0x25
#define ESR_BREAKPOINT 0x3c
#define ESR_STATUS 0x7f	     /* that of a fault, and whether it was a write */
#define ESR_INTERRUPT_BIT 63 /* ours, in struct frame: it was an interrupt */

#define UART 0x09000000
#define GIC_DISTRIBUTOR 0x08000000
#define GIC_PROCESSOR 0x08010000
#define TIMER_INTERRUPT 27  /* of the virtual timer */
#define SUMMONS_INTERRUPT 0 /* of another processor */

#define PSCI_VERSION 0x84000000
#define PSCI_CPU_ON 0xc4000003

/* Ops that the shim counts, besides those of shim.h. */
#define SHIM_SET_TIMER 11
#define SHIM_PSCI 12
#define SHIM_OPS 13
#define SHIM_PSCI_VERSION 0x1234 /* what the shim says */

/* A call of irq_enable or irq_disable with room for more than a call. */
#define IRQ_CALL(function) __asm__ volatile(BP_CALL_8(function) : : : "x16", "x17", "x30", "memory")

/* Registers that compilers keep values in: there are ops for each. */
#define VALUE_REGISTERS x0, BUT_X0
#define BUT_X0                                                                                     \
	x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15, x16, x17, x18, x19, x20, \
	    x21, x22, x23, x24, x25, x26, x27, x28

/* registers.S: all but sp; their number. */
#define ALL_REGISTERS VALUE_REGISTERS, x29, x30
#define REGISTERS 31

#ifndef __ASSEMBLER__
#include "memory.h"

#define PTE_ADDRESS 0x0000fffffffff000ul
#define PTE_PXN (1ul << PTE_PXN_BIT)
#define PTE_UXN (1ul << PTE_UXN_BIT)
#define PTE_USED PTE_ACCESSED
#define PTE_TEXT (PTE_PAGE | PTE_ACCESSED | PTE_SHARED | PTE_READ_ONLY | PTE_UXN)
#define PTE_RODATA (PTE_TEXT | PTE_PXN)
#define PTE_DATA (PTE_PAGE | PTE_ACCESSED | PTE_SHARED | PTE_PXN | PTE_UXN)
#define PTE_DEVICE (PTE_PAGE | PTE_ACCESSED | PTE_PXN | PTE_UXN | 1 << PTE_ATTRIBUTES)
#define PTE_TABLE PTE_PAGE
#define ROOT_LEAVES_TLB 1 /* with translations by the table before */
#define PTE_OF(physical) (physical)
#define PTE_TO(pte) ((pte)&PTE_ADDRESS)
#define ROOT_OF(physical) (physical)
#define ROOT_TO(root) (root)

#define DEVICES                                                                                    \
	{                                                                                          \
		UART, GIC_DISTRIBUTOR, GIC_PROCESSOR                                               \
	}

/* The words that entry.S stores, lowest address first. */
#define FRAME(word)                                                                                \
	word(x0) word(x1) word(x2) word(x3) word(x4) word(x5) word(x6) word(x7) word(x8) word(x9)  \
	    word(x10) word(x11) word(x12) word(x13) word(x14) word(x15) word(x16) word(x17)        \
		word(x18) word(x19) word(x20) word(x21) word(x22) word(x23) word(x24) word(x25)    \
		    word(x26) word(x27) word(x28) word(x29) word(x30) word(irq) word(far)          \
			word(elr) word(spsr) word(esr)
#define FRAME_PC(frame) ((frame)->elr)
#define FRAME_FP(frame) ((frame)->x29)
#define FRAME_VECTOR(frame) ((frame)->esr >> ESR_CLASS)
#define FRAME_ERROR(frame) ((frame)->esr & ESR_STATUS)
#define FRAME_FAULT(frame) ((frame)->far)
#define CALLERS_FRAME(frame) (*(unsigned long *)(frame))
#define IS_PAGE_FAULT(frame)                                                                       \
	(FRAME_VECTOR(frame) == ESR_FETCH_FAULT || FRAME_VECTOR(frame) == ESR_DATA_FAULT)
/* A translation fault at level 1, and permission faults at level 3. */
#define ERROR_WRITE_HOLE (0x40 | 0x5)
#define ERROR_WRITE_READ_ONLY (0x40 | 0xf)
#define ERROR_EXECUTE_DATA 0xf
#define EXECUTE_PROTECTED 1

#define BREAKPOINT "brk #0"
#define PAUSE "yield"
#define RETURN_CODE                                                                                \
	{                                                                                          \
		0xc0, 0x03, 0x5f, 0xd6                                                             \
	}

/* trace.S: what every function calls, and the length of such a call. */
void _mcount(void);
#define ENTRY_HOOK _mcount
#define CALL_LENGTH 4

extern unsigned long began_at_el2; /* boot.S */
#define BARE_BACKEND *(began_at_el2 ? &bp_paravirt_smc : &bp_paravirt_native)
#define DEFAULT_BACKEND (began_at_el2 ? "smc" : "native")
#define OTHER_CHOICES {"smc", &bp_paravirt_smc},
#define OTHER_CHECKS

/* Whether interrupts are on by what pv_irq_save returned. */
static inline int flags_are_on(unsigned long flags)
{
	return !(flags & FLAGS_MASKED);
}

static inline unsigned long read_flags(void)
{
	unsigned long flags;

	__asm__ volatile("mrs %0, daif" : "=r"(flags) : : "memory");
	return flags;
}

static inline void write_flags(unsigned long flags)
{
	__asm__ volatile("msr daif, %0" : : "r"(flags) : "memory");
}

static inline void flags_on(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

static inline void flags_off(void)
{
	__asm__ volatile("msr daifset, #2" : : : "memory");
}

static inline void write_fault(unsigned long address)
{
	__asm__ volatile("msr far_el1, %0" : : "r"(address) : "memory");
}

static inline unsigned long read_root(void)
{
	unsigned long value;

	__asm__ volatile("mrs %0, ttbr1_el1" : "=r"(value) : : "memory");
	return value;
}

static inline unsigned long read_time(void)
{
	unsigned long value;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value) : : "memory");
	return value;
}

/* Where the b or bl at `site` leads; makes it lead elsewhere. */
static inline uintptr_t branch_target(uintptr_t site, unsigned length)
{
	(void)length;
	return site + ((int32_t)(*(const uint32_t *)site << 6) >> 4);
}

static inline void branch_lead(uintptr_t site, unsigned length, uintptr_t target,
			       void (*write)(void *, void *, const void *, uint32_t))
{
	uint32_t word =
	    (*(const uint32_t *)site & 0xfc000000) | ((target - site) >> 2 & 0x03ffffff);

	write(0, (void *)site, &word, length);
}

/* "Semihosting for AArch32 and AArch64", SYS_EXIT. */
static inline void end_machine(unsigned status)
{
	const unsigned long block[] = {0x20026, status};
	register unsigned long x0 __asm__("x0") = 0x18;
	register const unsigned long *x1 __asm__("x1") = block;

	__asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
}
#endif

#endif
