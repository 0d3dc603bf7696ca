/* SPDX-License-Identifier: MIT */
	.file "registers.S" /* else the linker names it after the object, wherever that is */
/* Functions that do something with every register live, and leave to C whether all are as before. */
#include "x86.h"

	.macro each instruction, array, store
	.set offset, 0
	.irp register, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	.if \store
	\instruction %\register, \array + offset(%rip)
	.else
	\instruction \array + offset(%rip), %\register
	.endif
	.set offset, offset + 8
	.endr
	.endm

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	.irp register, rbx, rbp, r12, r13, r14, r15
	pushq %\register
	.endr
	each movq, registers_before, 0
	.endm

	.macro end name
	each movq, registers_after, 1
	.irp register, r15, r14, r13, r12, rbp, rbx
	popq %\register
	.endr
	ret
	.size \name, . - \name
	.endm

	.text

	begin registers_breakpoint
	int3
	end registers_breakpoint

	/* Until ticks is not what rax has, or so many times. */
	begin registers_interrupt
1:	cmpq %rax, ticks(%rip)
	jne 2f
	decl registers_spins(%rip)
	jnz 1b
2:
	end registers_interrupt

	/* The ops that entry code calls, as it does; the arithmetic flags are to live, too. */
	begin registers_calls
	pushf
	orq $FLAGS_ARITHMETIC, (%rsp)
	popf
	call pv_irq_disable
	call pv_io_delay
	pushq %rax
	call pv_irq_save_rax
	call pv_read_cr2
	popq %rax
	call pv_irq_enable
	pushf
	popq registers_flags(%rip)
	end registers_calls

	.section .note.GNU-stack, "", @progbits
