/* SPDX-License-Identifier: MIT */
/* A trap vector that handles interrupts, the second hart's entry, and the ops of switch.toml. */

	.macro each do
	.set at, 0
	.irp register, ra, t0, t1, t2, a0, a1, a2, a3, a4, a5, a6, a7, t3, t4, t5, t6
	\do \register, at(sp)
	.set at, at + 8
	.endr
	.endm

	.text
	.balign 4
	.globl switch_vector
	.type switch_vector, @function
switch_vector:
	addi sp, sp, -144
	each sd
	csrr t0, sepc
	csrr t1, sstatus
	sd t0, 128(sp)
	sd t1, 136(sp)
	csrr a1, scause
	bgez a1, 1f
	mv a0, sp
	call interrupt
	ld t0, 128(sp)
	ld t1, 136(sp)
	csrw sepc, t0
	csrw sstatus, t1
	each ld
	addi sp, sp, 144
	sret
1:	mv a0, s0
	call trapped
	.size switch_vector, . - switch_vector

	.globl second_start
	.type second_start, @function
second_start:
	.option push
	.option norelax
	lla gp, __global_pointer$
	.option pop
	lla sp, second_stack
	li t0, 0x4000
	add sp, sp, t0
	lla t0, switch_vector
	csrw stvec, t0
	mv s0, zero
	mv tp, a0 /* the hart's number */
	call second_main
	.size second_start, . - second_start

	.macro numbered name, number
	.globl \name
	.type \name, @function
\name:
	li a0, \number
	li a1, \number
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
	li a0, 3
	ret
	.size two_tick, . - two_tick

	.bss
	.balign 16
	.globl second_stack
	.type second_stack, @object
second_stack:
	.skip 0x4000
	.size second_stack, 0x4000
