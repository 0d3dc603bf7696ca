/* SPDX-License-Identifier: MIT */
	.file "registers.S" /* otherwise the linker names it after the object's path */
/* Functions that do something with every register live, for C to check that all are unchanged. */
#include "buildplug.h"
#include "x86.h"

	.macro each array, store
	.set offset, 0
	.irp register, ALL_REGISTERS
	.if \store
	mov %\register, AT(\array + offset)
	.else
	mov AT(\array + offset), %\register
	.endif
	.set offset, offset + WORD_SIZE
	.endr
	.endm

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	.irp register, CALLEE_SAVED
	push %\register
	.endr
	each registers_before, 0
	.endm

	.macro end name
	each registers_after, 1
	.irp register, CALLEE_SAVED_BACK
	pop %\register
	.endr
	ret
	.size \name, . - \name
	.endm

	.text

	begin registers_breakpoint
	int3
	end registers_breakpoint

	/* Loop until ticks differs from AX, at most registers_spins times. */
	begin registers_interrupt
1:	cmp AX, AT(ticks)
	jne 2f
	decl AT(registers_spins)
	jnz 1b
2:
	end registers_interrupt

	/* The ops that entry code calls, as it calls them; the arithmetic flags are live, too. */
	begin registers_calls
	pushf
	OR_WORD $FLAGS_ARITHMETIC, (SP)
	popf
	call pv_irq_disable
	call pv_io_delay
	push AX
	call OF_AX(pv_irq_save)
	call pv_read_cr2
	pop AX
	pushf
	pop AT(registers_flags)
	IRQ_ROOM pv_irq_enable /* which may change the flags */
	end registers_calls

	.section .note.GNU-stack, "", @progbits
