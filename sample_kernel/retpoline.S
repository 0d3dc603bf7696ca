/* SPDX-License-Identifier: MIT */
/*
 * Indirect branches as compilers make them for processors that speculate on their targets
 * (-mindirect-branch=thunk-extern, -mindirect-branch-cs-prefix), and the thunks.
 */
#include "x86.h"

	.macro thunk register
	.balign 16
	.globl __x86_indirect_thunk_\register
	.type __x86_indirect_thunk_\register, @function
__x86_indirect_thunk_\register:
	incl thunks_run
	call 1f
2:	pause
	lfence
	jmp 2b
1:	mov %\register, (SP)
	ret
	.size __x86_indirect_thunk_\register, . - __x86_indirect_thunk_\register
	.endm

	/* A function that calls the function that is its argument. */
	.macro branch name, instruction, register, prefix
	.globl \name
	.type \name, @function
\name:
	mov ARG1, %\register
	\prefix; \instruction __x86_indirect_thunk_\register
	ret
	.size \name, . - \name
	.endm

	/* The code that may replace a branch to a thunk: struct straight of retpoline.c. */
	.macro straight register
	.balign 8
	WORD __x86_indirect_thunk_\register
	.irp instruction, call, jmp
	.balign 8
	\instruction *%\register
	nopl (AX)
	.endr
	.endm

	/* A separate section: within one, the assembler emits no relocation for a jump. */
	.section .text.thunks, "ax", @progbits
	thunk THUNK1
	thunk THUNK2

	.text
	branch branch_call, call, THUNK1
	branch branch_call_other, call, THUNK2, THUNK2_PREFIX
	branch branch_jump, jmp, THUNK1
	branch branch_jump_other, jmp, THUNK2, THUNK2_PREFIX

	.section .rodata
	.globl straights
	.balign 8
straights:
	straight THUNK1
	straight THUNK2
	.balign 8

	.section .note.GNU-stack, "", @progbits
