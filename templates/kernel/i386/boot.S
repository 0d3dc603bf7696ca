/* SPDX-License-Identifier: MIT */
/* From the multiboot entry (32 bits, no paging; Multiboot Specification 0.6.96, chapter 3) to main(). */
#define MULTIBOOT_HEADER 0x1badb002
#define MULTIBOOT_FLAGS 0 /* load addresses are in the ELF header */

	.globl load_address /* for kernel.lds */
	.set load_address, 0x100000

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER, MULTIBOOT_FLAGS, -(MULTIBOOT_HEADER + MULTIBOOT_FLAGS)

	.text
	.globl start
	.type start, @function
start:
	movl $stack_top, %esp
	xorl %ebp, %ebp /* where a backtrace ends */
	call main
1:	hlt
	jmp 1b
	.size start, . - start

	.bss
	.balign 16
	.skip 4 * 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
