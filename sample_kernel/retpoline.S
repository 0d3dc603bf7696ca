/* SPDX-License-Identifier: MIT */
/*
 * Indirect branches as compilers make them for processors that speculate on their targets
 * (-mindirect-branch=thunk-extern, -mindirect-branch-cs-prefix), and the thunks.
 */
	.macro thunk register
	.balign 16
	.globl __x86_indirect_thunk_\register
	.type __x86_indirect_thunk_\register, @function
__x86_indirect_thunk_\register:
	incq thunks_run(%rip)
	call 1f
2:	pause
	lfence
	jmp 2b
1:	movq %\register, (%rsp)
	ret
	.size __x86_indirect_thunk_\register, . - __x86_indirect_thunk_\register
	.endm

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	/* A section of their own: within one, the assembler leaves no relocation of a jump. */
	.section .text.thunks, "ax", @progbits
	thunk rax
	thunk r11

	.text
	/* Each calls the function that is its argument. */
	function branch_call
	movq %rdi, %rax
	call __x86_indirect_thunk_rax
	ret
	.size branch_call, . - branch_call

	function branch_call_prefixed
	movq %rdi, %r11
	cs; call __x86_indirect_thunk_r11
	ret
	.size branch_call_prefixed, . - branch_call_prefixed

	function branch_jump
	movq %rdi, %rax
	jmp __x86_indirect_thunk_rax
	.size branch_jump, . - branch_jump

	function branch_jump_prefixed
	movq %rdi, %r11
	cs; jmp __x86_indirect_thunk_r11
	.size branch_jump_prefixed, . - branch_jump_prefixed

	.section .note.GNU-stack, "", @progbits
