/* SPDX-License-Identifier: MIT */
/* From the entry of QEMU's `virt`, at EL1 with the MMU off, to main(). */
	.globl load_address /* for kernel.lds */
	.set load_address, 0x40080000

	.text
	.globl start
	.type start, @function
start:
	adrp x0, stack_top
	add x0, x0, :lo12:stack_top
	mov sp, x0
	mov x29, xzr /* where a backtrace ends */
	bl main
1:	wfi
	b 1b
	.size start, . - start

	.bss
	.balign 16
	.skip 4 * 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
