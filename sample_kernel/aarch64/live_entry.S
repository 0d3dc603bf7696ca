/* SPDX-License-Identifier: MIT */
	.file "live_entry.S" /* otherwise the linker names it after the object's path */
/*
 * Vectors of a processor that is summoned (live.h). There is no site on the way of that interrupt; all others, and
 * exceptions, go on as by the vectors of entry.S.
 */
	.equ interrupt, 5 /* from EL1 with its own stack */

	.text
	.balign 2048
	.globl live_vectors
	.type live_vectors, @function
live_vectors:
	.set number, 0
	.rept 16
	.balign 128
	.if number == interrupt
	b interrupted
	.else
	b vectors + number * 128
	.endif
	.set number, number + 1
	.endr
	.size live_vectors, . - live_vectors

	.macro each instruction
	.set offset, 0
	.irp pair, "x0, x1", "x2, x3", "x4, x5", "x6, x7", "x8, x9", "x10, x11", "x12, x13", "x14, x15", "x16, x17", "x18, x30"
	\instruction \pair, [sp, #offset]
	.set offset, offset + 16
	.endr
	.endm

	.equ elr_at, 160
	.equ frame_size, 176

	.type interrupted, @function
interrupted:
	sub sp, sp, #frame_size
	each stp
	bl smp_is_summoned
	cbz w0, 1f
	mrs x0, elr_el1 /* for inside() of switch.c */
	str x0, [sp, #elr_at]
	mov x0, sp
	bl summoned
	each ldp
	add sp, sp, #frame_size
	eret
1:	each ldp
	add sp, sp, #frame_size
	b vectors + interrupt * 128
	.size interrupted, . - interrupted

	.section .note.GNU-stack, "", @progbits
