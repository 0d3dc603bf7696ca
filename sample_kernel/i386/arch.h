/* SPDX-License-Identifier: MIT */
/* What is different on i386; x86_64's arch.h defines the same names. */
#ifndef ARCH_H
#define ARCH_H

/* A call of irq_enable or irq_disable with room for the shim's inline code: 10 bytes. */
#define IRQ_CALL(function) __asm__ volatile(BP_CALL_10(function) : : : "memory", "cc")
#define IRQ_ROOM bp_call_10

/* There is no Xen. */
#define XEN_CALL(function) "call " function "\n\t"
#define XEN_ENABLE_CALL(function) XEN_CALL(function)
#define XEN_SAVE_CALL(function) XEN_CALL(function)
#define XEN_SAVE_ROOM call
#define XEN_RESTORE_CALL(function) XEN_CALL(function)

#define KERNEL_BASE 0xc0000000

#define DESCRIPTOR_CODE 0x00cf9b000000ffff

#define PAGING_TOP 22	/* lowest bit of the top table's index in an address */
#define PAGING_INDEX 10 /* bits of an index */

/* clang-format off */
/* For shared assembly: words, registers of that size, and the argument registers of -mregparm=3. */
#define WORD .long
#define AX %eax
#define CX %ecx
#define SP %esp
#define ARG1 %eax
#define ARG1_LONG %eax
#define ARG2 %edx
#define ARG2_BYTE %dl
#define OF_AX(op) op##_eax /* the op for a value in AX */
#define AT(symbol) symbol
#define OR_WORD orl
/* clang-format on */

/* live_entry.S: saves and restores the caller-saved registers; their bytes, and those of a word. */
#define CALLER_SAVED eax, ecx, edx
#define CALLER_SAVED_BACK edx, ecx, eax
#define CALLER_SAVED_SIZE 12
#define WORD_SIZE 4
#define INTERRUPT_RETURN iret

/* Registers that compilers keep values in: native_entry.S and shim_entry.S have ops for each. */
#define VALUE_REGISTERS eax, ebx, ecx, edx, esi, edi

/* retpoline.S: two registers, and the prefix of a branch to the second one's thunk. */
#define THUNK1 eax
#define THUNK2 edx
#define THUNK2_PREFIX

/* entry.S and registers.S: push and pop all but SP and AX, in the order of struct frame. */
#define BUT_AX ecx, edx, ebx, ebp, esi, edi
#define BUT_AX_BACK edi, esi, ebp, ebx, edx, ecx

/* registers.S: all but SP, and their number; push and pop the callee-saved registers. */
#define ALL_REGISTERS eax, BUT_AX
#define REGISTERS 7
#define CALLEE_SAVED ebx, ebp, esi, edi
#define CALLEE_SAVED_BACK edi, esi, ebp, ebx

#ifndef __ASSEMBLER__
#include <stdint.h>

#define PTE_ADDRESS 0xfffff000ul
#define PTE_NX 0ul /* this page table format has no such bit */

#define MSR_SCRATCH MSR_SYSENTER_EIP /* nothing depends on it */

/* The words that entry.S pushes, lowest address first. */
#define FRAME(word)                                                                                \
	word(edi) word(esi) word(bp) word(ebx) word(edx) word(ecx) word(cr2) word(irq) word(eax)   \
	    word(vector) word(error) word(ip) word(cs) word(flags)

struct gate {
	uint16_t offset0, selector;
	uint8_t zero, type;
	uint16_t offset16;
};

static inline struct gate gate(uint16_t selector, uintptr_t entry, uint8_t type, uint8_t ist)
{
	(void)ist; /* a separate stack would need a task */
	return (struct gate){
	    .offset0 = entry,
	    .selector = selector,
	    .type = type,
	    .offset16 = entry >> 16,
	};
}
#endif

#include "x86.h"

#endif
