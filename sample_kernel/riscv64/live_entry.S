/* SPDX-License-Identifier: MIT */
	.file "live_entry.S" /* otherwise the linker names it after the object's path */
/*
 * The trap vector of a hart that is summoned (live.h). There is no site on the way of that interrupt; all others, and
 * exceptions, go on as in entry.S.
 */
	.macro each instruction
	.set offset, 0
	.irp register, ra, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7
	\instruction \register, offset(sp)
	.set offset, offset + 8
	.endr
	.endm

	.equ a0_at, 8 * 8
	.equ sepc_at, 16 * 8
	.equ frame_size, 18 * 8

	.text
	.balign 4
	.globl live_entry
	.type live_entry, @function
live_entry:
	addi sp, sp, -frame_size
	sd a0, a0_at(sp)
	csrr a0, scause
	bgez a0, 1f
	slli a0, a0, 1
	addi a0, a0, -2 /* the cause 1: of another hart */
	bnez a0, 1f
	ld a0, a0_at(sp)
	each sd
	csrr a0, sepc /* for inside() of switch.c */
	sd a0, sepc_at(sp)
	mv a0, sp
	call summoned
	each ld
	addi sp, sp, frame_size
	sret
1:	ld a0, a0_at(sp)
	addi sp, sp, frame_size
	j entry
	.size live_entry, . - live_entry

	.section .note.GNU-stack, "", @progbits
