/* SPDX-License-Identifier: MIT */
/* Accesses that may fault. probe_ip tells probe_recover (check_traps.c) where a fault is one of these. */
#include "x86.h"

	.text

	.globl probe_write
	.type probe_write, @function
probe_write:
	mov $1f, CX
	mov CX, probe_ip
1:	movb ARG2_BYTE, (ARG1)
	movl $1, %eax
	ret
	.size probe_write, . - probe_write

	/* A fetch that faults has the target's address as its own, and on the stack the way back to the caller. */
	.globl probe_execute
	.type probe_execute, @function
probe_execute:
	mov ARG1, CX
	mov CX, probe_ip
	movl $1, %eax
	jmp *CX
	.size probe_execute, . - probe_execute

	.globl probe_faulted
	.type probe_faulted, @function
probe_faulted:
	xorl %eax, %eax
	ret
	.size probe_faulted, . - probe_faulted

	.section .note.GNU-stack, "", @progbits
