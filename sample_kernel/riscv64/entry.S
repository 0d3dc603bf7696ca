/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* otherwise the linker names it after the object's path */
/*
 * The entry and exit of every exception and interrupt. It calls pv ops while all of the interrupted code's registers
 * except ra and a0 are live: what fixup puts there may clobber only what paravirt.toml declares.
 */
#include "paravirt.h"

	/* Offsets in struct frame, in words: ra, what lies between it and a0, a0, and the rest. */
	.equ a0_at, 8 * 8
	.equ irq_at, 30 * 8
	.equ stval_at, 31 * 8
	.equ sepc_at, 32 * 8
	.equ sstatus_at, 33 * 8
	.equ scause_at, 34 * 8
	.equ frame_size, 36 * 8

	.macro each instruction
	.set offset, 8
	.irp register, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, \
		t3, t4, t5, t6
	.ifnc \register, a0
	\instruction \register, offset(sp)
	.endif
	.set offset, offset + 8
	.endr
	.endm

	.text
	.balign 4
	.globl entry
	.type entry, @function
entry:
	addi sp, sp, -frame_size
	sd ra, 0(sp)
	sd a0, a0_at(sp)
	.irp register, sepc, sstatus, scause
	csrr a0, \register
	sd a0, \register\()_at(sp)
	.endr
	PV(read_fault)
	sd a0, stval_at(sp)
	PV(io_delay)
	/* In exceptions the flag is as it was, as the shim has one of its own. */
	ld a0, scause_at(sp)
	bltz a0, 1f
	ld a0, sstatus_at(sp)
	andi a0, a0, SSTATUS_SPIE
	srli a0, a0, SSTATUS_SPIE_BIT - 1
	csrs sstatus, a0
1:	PV(irq_save_a0)
	sd a0, irq_at(sp)
	PV_ROOM(irq_disable)
	each sd
	mv a0, sp
	call trap
	each ld
	ld a0, irq_at(sp)
	andi a0, a0, FLAGS_IF
	beqz a0, 2f
	PV(irq_enable)
2:	csrci sstatus, 2 /* the next two would not survive an interrupt */
	.irp register, sepc, sstatus
	ld a0, \register\()_at(sp)
	csrw \register, a0
	.endr
	ld ra, 0(sp)
	ld a0, a0_at(sp)
	addi sp, sp, frame_size
	sret
	.size entry, . - entry

	.section .note.GNU-stack, "", @progbits
