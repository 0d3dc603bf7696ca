/* SPDX-License-Identifier: MIT */
/* Accesses that may fault. By probe_ip, probe_recover (check_traps.c) recognises their faults. */
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

	/* When a fetch faults, ip is the target's address, and the return address is on the stack. */
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
