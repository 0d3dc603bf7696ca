/* SPDX-License-Identifier: MIT */
	.file "registers.S" /* else the linker names it after the object, wherever that is */
/* Functions that do something with every register live, and leave to C whether all are as before. */
#include "x86.h"

	.macro each array, store
	.set offset, 0
	.irp register, eax, ecx, edx, ebx, ebp, esi, edi
	.if \store
	movl %\register, \array + offset
	.else
	movl \array + offset, %\register
	.endif
	.set offset, offset + 4
	.endr
	.endm

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	.irp register, ebx, ebp, esi, edi
	pushl %\register
	.endr
	each registers_before, 0
	.endm

	.macro end name
	each registers_after, 1
	.irp register, edi, esi, ebp, ebx
	popl %\register
	.endr
	ret
	.size \name, . - \name
	.endm

	.text

	begin registers_breakpoint
	int3
	end registers_breakpoint

	/* Until ticks is not what eax has, or so many times. */
	begin registers_interrupt
1:	cmpl %eax, ticks
	jne 2f
	decl registers_spins
	jnz 1b
2:
	end registers_interrupt

	/* The ops that entry code calls, as it does; the arithmetic flags are to live, too. */
	begin registers_calls
	pushf
	orl $FLAGS_ARITHMETIC, (%esp)
	popf
	call pv_irq_disable
	call pv_io_delay
	pushl %eax
	call pv_irq_save_eax
	call pv_read_cr2
	popl %eax
	call pv_irq_enable
	pushf
	popl registers_flags
	end registers_calls

	.section .note.GNU-stack, "", @progbits
