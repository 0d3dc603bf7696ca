/* SPDX-License-Identifier: MIT */
/* Accesses that may fault. probe_rip tells probe_recover (check_traps.c) where a fault is one of these. */
	.text

	.globl probe_write
	.type probe_write, @function
probe_write:
	movq $1f, probe_rip(%rip)
1:	movb %sil, (%rdi)
	movl $1, %eax
	ret
	.size probe_write, . - probe_write

	/* A fetch that faults has the target's address in rip, and on the stack the way back to the caller. */
	.globl probe_execute
	.type probe_execute, @function
probe_execute:
	movq %rdi, probe_rip(%rip)
	movl $1, %eax
	jmp *%rdi
	.size probe_execute, . - probe_execute

	.globl probe_faulted
	.type probe_faulted, @function
probe_faulted:
	xorl %eax, %eax
	ret
	.size probe_faulted, . - probe_faulted

	.section .note.GNU-stack, "", @progbits
