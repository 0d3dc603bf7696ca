/* SPDX-License-Identifier: MIT */
/* From the entry of OpenSBI on QEMU's `virt`, in S-mode with paging off, by one hart, to main(). */
	.globl load_address /* for kernel.lds */
	.set load_address, 0x80200000

	.section .text.start, "ax" /* first: OpenSBI jumps to where the kernel is loaded */
	.globl start
	.type start, @function
start:
	lla sp, stack_top
	mv s0, zero /* where a backtrace ends */
	call main
1:	wfi
	j 1b
	.size start, . - start

	.bss
	.balign 16
	.skip 4 * 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
