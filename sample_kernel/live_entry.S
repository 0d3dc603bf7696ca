/* SPDX-License-Identifier: MIT */
/*
 * The entries of breakpoints and of the interrupt that summons processors (live.h). Interrupts are off, and there is no
 * site on this path, which would trap recursively.
 */
#include "x86.h"

	.text

	.macro begin name
	.globl \name
	.type \name, @function
\name:
	.irp register, CALLER_SAVED
	push %\register
	.endr
	cld
	mov SP, ARG1
	.endm

	.macro restore
	.irp register, CALLER_SAVED_BACK
	pop %\register
	.endr
	.endm

	begin breakpoint_entry
	lea CALLER_SAVED_SIZE(SP), ARG2
	call breakpoint_hit
	testb %al, %al
	restore
	jz 1f
	INTERRUPT_RETURN
1:	testl $FLAGS_IF, 2 * WORD_SIZE(SP) /* another breakpoint: continues as if it came through a trap gate */
	jz 2f
	sti
2:	jmp entry_stubs + 16 * VECTOR_BREAKPOINT
	.size breakpoint_entry, . - breakpoint_entry

	begin summons_entry
	call summoned
	restore
	INTERRUPT_RETURN
	.size summons_entry, . - summons_entry

	.section .note.GNU-stack, "", @progbits
