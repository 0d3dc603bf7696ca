/* SPDX-License-Identifier: MIT */
/* What is different on x86_64; i386's arch.h defines the same names. */
#ifndef ARCH_H
#define ARCH_H

/* A call of irq_enable or irq_disable with room for the shim's inline code: 11 bytes. */
#define IRQ_CALL(function) __asm__ volatile(BP_CALL_12(function) : : : "memory", "cc")
#define IRQ_ROOM bp_call_12

/* A call with room for Xen's inline code: 9 bytes, or more for some ops of the interrupt flag. */
#define XEN_CALL(function) BP_CALL_9(function)
#define XEN_ENABLE_CALL(function) BP_CALL_27(function)
#define XEN_SAVE_CALL(function) BP_CALL_17(function)
#define XEN_SAVE_ROOM bp_call_17
#define XEN_RESTORE_CALL(function) BP_CALL_34(function)

#define KERNEL_BASE 0xffffffff80000000

#define DESCRIPTOR_CODE 0x00af9b000000ffff

#define PAGING_TOP 39  /* lowest bit of the top table's index in an address */
#define PAGING_INDEX 9 /* bits of an index */

/* clang-format off */
/* For shared assembly: words, registers of that size, and the first argument registers. */
#define WORD .quad
#define AX %rax
#define CX %rcx
#define SP %rsp
#define ARG1 %rdi
#define ARG1_LONG %edi
#define ARG2 %rsi
#define ARG2_BYTE %sil
#define OF_AX(op) op##_rax /* the op for a value in AX */
#define AT(symbol) symbol(%rip)
#define OR_WORD orq
/* clang-format on */

/* live_entry.S: saves and restores the caller-saved registers; their bytes, and those of a word. */
#define CALLER_SAVED rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
#define CALLER_SAVED_BACK r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
#define CALLER_SAVED_SIZE 72
#define WORD_SIZE 8
#define INTERRUPT_RETURN iretq

/* Registers that compilers keep values in: native_entry.S and shim_entry.S have ops for each. */
#define VALUE_REGISTERS rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15

/* retpoline.S: two registers, and the prefix of a branch to the second one's thunk. */
#define THUNK1 rax
#define THUNK2 r11
#define THUNK2_PREFIX cs

/* entry.S and registers.S: push and pop all but SP and AX, in the order of struct frame. */
#define BUT_AX rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
#define BUT_AX_BACK r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx

/* registers.S: all but SP, and their number; push and pop the callee-saved registers. */
#define ALL_REGISTERS rax, BUT_AX
#define REGISTERS 15
#define CALLEE_SAVED rbx, rbp, r12, r13, r14, r15
#define CALLEE_SAVED_BACK r15, r14, r13, r12, rbp, rbx

#ifndef __ASSEMBLER__
#include <stdint.h>

#define PTE_ADDRESS 0x000ffffffffff000ul
#define PTE_NX 0x8000000000000000ul

/* One that nothing depends on, and that Xen emulates: the base of gs behind swapgs. */
#define MSR_SCRATCH 0xc0000102

/* The words that entry.S pushes, lowest address first. */
#define FRAME(word)                                                                                \
	word(r15) word(r14) word(r13) word(r12) word(r11) word(r10) word(r9) word(r8) word(rdi)    \
	    word(rsi) word(bp) word(rbx) word(rdx) word(rcx) word(cr2) word(irq) word(rax)         \
		word(vector) word(error) word(ip) word(cs) word(flags) word(sp) word(ss)

struct gate {
	uint16_t offset0, selector;
	uint8_t ist, type;
	uint16_t offset16;
	uint32_t offset32, reserved;
};

static inline struct gate gate(uint16_t selector, uintptr_t entry, uint8_t type, uint8_t ist)
{
	return (struct gate){
	    .offset0 = entry,
	    .selector = selector,
	    .ist = ist,
	    .type = type,
	    .offset16 = entry >> 16,
	    .offset32 = entry >> 32,
	};
}
#endif

#include "x86.h"

#endif
