/* SPDX-License-Identifier: MIT */
	.file "registers.S" /* otherwise the linker names it after the object's path */
/* Functions that do something with every register live, for C to check that all are unchanged. */
#include "paravirt.h"

	.macro saved instruction
	.set offset, 0
	.irp register, CALLEE_SAVED
	\instruction \register, offset(sp)
	.set offset, offset + 8
	.endr
	.endm

	/* All registers but one, which has the address of the array. */
	.macro each instruction, but
	.set offset, 0
	.irp register, ALL_REGISTERS
	.ifnc \register, \but
	\instruction \register, offset(\but)
	.else
	.set but_at, offset
	.endif
	.set offset, offset + 8
	.endr
	.endm

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	addi sp, sp, -128
	saved sd
	lla s11, registers_before
	each ld, s11
	ld s11, but_at(s11)
	.endm

	.macro end name
	addi sp, sp, -16
	sd s11, 0(sp)
	lla s11, registers_after
	each sd, s11
	ld t0, 0(sp)
	sd t0, but_at(s11)
	addi sp, sp, 16
	saved ld
	addi sp, sp, 128
	ret
	.size \name, . - \name
	.endm

	.text

	begin registers_breakpoint
	ebreak
	end registers_breakpoint

	/* Loop until ticks differs from the first register, at most registers_spins times. */
	begin registers_interrupt
	addi sp, sp, -32
	sd t0, 0(sp)
	sd t1, 8(sp)
1:	lla t0, ticks
	ld t0, 0(t0)
	bne t0, ra, 2f
	lla t0, registers_spins
	lw t1, 0(t0)
	addiw t1, t1, -1
	sw t1, 0(t0)
	bnez t1, 1b
2:	ld t0, 0(sp)
	ld t1, 8(sp)
	addi sp, sp, 32
	end registers_interrupt

	/* The ops that entry code calls, as it calls them. */
	begin registers_calls
	addi sp, sp, -16
	sd ra, 0(sp)
	sd a0, 8(sp)
	call pv_irq_disable
	call pv_io_delay
	call pv_irq_save_a0
	call pv_read_fault
	call pv_irq_enable
	ld ra, 0(sp)
	ld a0, 8(sp)
	addi sp, sp, 16
	end registers_calls

	.section .note.GNU-stack, "", @progbits
