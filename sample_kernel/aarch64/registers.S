/* SPDX-License-Identifier: MIT */
	.file "registers.S" /* otherwise the linker names it after the object's path */
/* Functions that do something with every register live, for C to check that all are unchanged. */
#include "paravirt.h"

	.macro saved instruction
	.set offset, 0
	.irp pair, "x18, x19", "x20, x21", "x22, x23", "x24, x25", "x26, x27", "x28, x29", "x30, x17"
	\instruction \pair, [sp, #offset]
	.set offset, offset + 16
	.endr
	.endm

	/* All registers but x28, which has the address of the array. */
	.macro each instruction
	.set offset, 0
	.irp register, ALL_REGISTERS
	.ifnc \register, x28
	\instruction \register, [x28, #offset]
	.endif
	.set offset, offset + 8
	.endr
	.endm

	.equ x28_at, 28 * 8

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	sub sp, sp, #112
	saved stp
	adrp x28, registers_before
	add x28, x28, :lo12:registers_before
	each ldr
	ldr x28, [x28, #x28_at]
	.endm

	.macro end name
	str x28, [sp, #-16]!
	adrp x28, registers_after
	add x28, x28, :lo12:registers_after
	each str
	ldr x0, [sp], #16
	str x0, [x28, #x28_at]
	saved ldp
	add sp, sp, #112
	ret
	.size \name, . - \name
	.endm

	.text

	begin registers_breakpoint
	brk #0
	end registers_breakpoint

	/* Loop until ticks differs from x0, at most registers_spins times. */
	begin registers_interrupt
	stp x1, x2, [sp, #-16]!
1:	adrp x1, ticks
	ldr x1, [x1, :lo12:ticks]
	cmp x1, x0
	b.ne 2f
	adrp x1, registers_spins
	ldr w2, [x1, :lo12:registers_spins]
	sub w2, w2, #1
	str w2, [x1, :lo12:registers_spins]
	cbnz w2, 1b
2:	ldp x1, x2, [sp], #16
	end registers_interrupt

	/* The ops that entry code calls, as it calls them; the arithmetic flags are live, too. */
	begin registers_calls
	stp x0, x30, [sp, #-32]!
	stp x16, x17, [sp, #16]
	mov x16, #FLAGS_ARITHMETIC
	msr nzcv, x16
	bl pv_irq_disable
	bl pv_io_delay
	bl pv_irq_save_x0
	bl pv_read_fault
	bl pv_irq_enable
	mrs x16, nzcv
	adrp x17, registers_flags
	str x16, [x17, :lo12:registers_flags]
	ldp x16, x17, [sp, #16]
	ldp x0, x30, [sp], #32
	end registers_calls

	.section .note.GNU-stack, "", @progbits
