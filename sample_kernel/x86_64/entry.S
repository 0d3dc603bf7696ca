/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* else the linker names it after the object, wherever that is */
/*
 * The way into and out of every exception and interrupt. It calls pv ops where the interrupted code's
 * registers are all live but rax: what fixup puts there may clobber only what paravirt.toml says.
 */
#include "paravirt.h"
#include "x86.h"

	.text
	.globl entry
	.balign 16
	.type entry, @function
entry:
	pushq %rax
	PV(io_delay)
	PV(irq_save_rax)
	pushq %rax
	/* Exceptions come with interrupts on (interrupts.c), and the shim's flag is not the processor's. */
	PV_ROOM(irq_disable)
	PV(read_cr2)
	pushq %rax
	.irp register, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq %\register
	.endr
	cld
	movq %rsp, %rdi
	call trap
	.irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx
	popq %\register
	.endr
	popq %rax
	popq %rax
	call enable_if_set
	popq %rax
	addq $16, %rsp
	iretq
	.size entry, . - entry

	/* rax: what pv_irq_save_rax returned. Every other register is live. */
	.type enable_if_set, @function
enable_if_set:
	testl $FLAGS_IF, %eax
#ifdef NO_PARAVIRT
	jz 1f
	PV(irq_enable)
1:
#else
	jnz pv_irq_enable
#endif
	ret
	.size enable_if_set, . - enable_if_set

	.section .note.GNU-stack, "", @progbits
