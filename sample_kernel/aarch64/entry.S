/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* otherwise the linker names it after the object's path */
/*
 * The entry and exit of every exception and interrupt. It calls pv ops while all of the interrupted code's registers
 * except x0 and those that a call writes are live: what fixup puts there may clobber only what paravirt.toml declares.
 */
#include "paravirt.h"

	/* Offsets in struct frame. */
	.equ x16_at, 16 * 8
	.equ x30_at, 30 * 8
	.equ irq_at, 31 * 8
	.equ far_at, 32 * 8
	.equ elr_at, 33 * 8
	.equ spsr_at, 34 * 8
	.equ esr_at, 35 * 8
	.equ frame_size, 36 * 8

	.macro vector interrupt
	.balign 128
	sub sp, sp, #frame_size
	stp x0, x1, [sp]
	str x30, [sp, #x30_at]
	.if \interrupt
	mov x0, #1 << ESR_INTERRUPT_BIT
	.else
	mrs x0, esr_el1
	.endif
	b entry
	.endm

	.text
	.balign 2048
	.globl vectors
	.type vectors, @function
vectors:
	.rept 4 /* from EL1 with EL0's stack, with its own, from EL0 */
	vector 0 /* exceptions */
	vector 1 /* IRQ, FIQ */
	vector 1
	vector 0 /* SError */
	.endr
	.size vectors, . - vectors

	.macro each instruction
	.set number, 2
	.irp pair, "x2, x3", "x4, x5", "x6, x7", "x8, x9", "x10, x11", "x12, x13", "x14, x15", "", "x18, x19", "x20, x21", \
		"x22, x23", "x24, x25", "x26, x27", "x28, x29"
	.ifnb \pair
	\instruction \pair, [sp, #number * 8]
	.endif
	.set number, number + 2
	.endr
	.endm

	.type entry, @function
entry:
	str x0, [sp, #esr_at]
	stp x16, x17, [sp, #x16_at]
	mrs x0, elr_el1
	str x0, [sp, #elr_at]
	mrs x0, spsr_el1
	str x0, [sp, #spsr_at]
	PV(read_fault)
	str x0, [sp, #far_at]
	PV(io_delay)
	/* In exceptions interrupts are as they were, as the shim has a flag of its own. */
	ldr x0, [sp, #esr_at]
	tbnz x0, #ESR_INTERRUPT_BIT, 1f
	ldr x0, [sp, #spsr_at]
	tbnz x0, #FLAGS_MASKED_BIT, 1f
	msr daifclr, #2
1:	PV(irq_save_x0)
	str x0, [sp, #irq_at]
	PV_ROOM(irq_disable)
	each stp
	mov x0, sp
	bl trap
	each ldp
	ldr x0, [sp, #irq_at]
	tbnz x0, #FLAGS_MASKED_BIT, 2f
	PV(irq_enable)
2:	msr daifset, #2 /* the next two would not survive an interrupt */
	ldr x0, [sp, #elr_at]
	msr elr_el1, x0
	ldr x0, [sp, #spsr_at]
	msr spsr_el1, x0
	ldp x16, x17, [sp, #x16_at]
	ldr x30, [sp, #x30_at]
	ldp x0, x1, [sp]
	add sp, sp, #frame_size
	eret
	.size entry, . - entry

	.section .note.GNU-stack, "", @progbits
