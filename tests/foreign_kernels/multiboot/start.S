/* SPDX-License-Identifier: MIT */
	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 0, -0x1badb002

	.text
	.globl start
	.type start, @function
start:
	movl $stack_top, %esp
	xorl %ebp, %ebp
	call kernel_main
	call halt
	.size start, . - start

	.bss
	.balign 16
	.skip 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
