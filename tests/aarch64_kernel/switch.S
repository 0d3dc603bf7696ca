/* SPDX-License-Identifier: MIT */
/* Vectors that handle interrupts, the second processor's entry, and the ops of switch.toml. */

	.text
	.balign 2048
	.globl switch_vectors
	.type switch_vectors, @function
switch_vectors:
	.set number, 0
	.rept 16
	.balign 128
	.if number == 5 /* an interrupt, from EL1 by its own stack pointer */
	b interrupt_entry
	.else
	mov x0, x29
	bl trapped
	.endif
	.set number, number + 1
	.endr
	.size switch_vectors, . - switch_vectors

	.macro each do
	\do x0, x1, 0
	\do x2, x3, 16
	\do x4, x5, 32
	\do x6, x7, 48
	\do x8, x9, 64
	\do x10, x11, 80
	\do x12, x13, 96
	\do x14, x15, 112
	\do x16, x17, 128
	\do x18, x30, 144
	.endm
	.macro store one, other, at
	stp \one, \other, [sp, #\at]
	.endm
	.macro load one, other, at
	ldp \one, \other, [sp, #\at]
	.endm

	.type interrupt_entry, @function
interrupt_entry:
	sub sp, sp, #192
	each store
	mrs x0, elr_el1
	mrs x1, spsr_el1
	stp x0, x1, [sp, #160]
	mov x0, sp
	bl interrupt
	ldp x0, x1, [sp, #160]
	msr elr_el1, x0
	msr spsr_el1, x1
	each load
	add sp, sp, #192
	eret
	.size interrupt_entry, . - interrupt_entry

	.globl second_start
	.type second_start, @function
second_start:
	adrp x0, second_stack
	add x0, x0, :lo12:second_stack
	add x0, x0, #0x4000
	mov sp, x0
	mov x29, xzr
	adrp x0, switch_vectors
	add x0, x0, :lo12:switch_vectors
	msr vbar_el1, x0
	isb
	bl second_main
	.size second_start, . - second_start

	.macro numbered name, number
	.globl \name
	.type \name, @function
\name:
	mov x0, #\number
	mov x1, #\number
	ret
	.size \name, . - \name
	.endm

	numbered pv_number, 1
	numbered two_number, 3

	.globl two_nothing
	.type two_nothing, @function
two_nothing:
	ret
	.size two_nothing, . - two_nothing

	.globl two_tick
	.type two_tick, @function
two_tick:
	mov x0, #3
	ret
	.size two_tick, . - two_tick

	.bss
	.balign 16
	.globl second_stack
	.type second_stack, @object
second_stack:
	.skip 0x4000
	.size second_stack, 0x4000
