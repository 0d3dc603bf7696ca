/* SPDX-License-Identifier: MIT */
/*
 * The shim's ops that entry code calls with every register live: they keep all but the returned register,
 * and the flags as well, though counting would change them.
 */
#include "x86.h"
#include "shim.h"

	.macro count op
	pushf
	incl shim_calls + 4 * \op
	popf
	.endm

	.text

	/* The flags, with the kernel's interrupt flag in the place of the processor's. */
	.globl shim_irq_save
	.type shim_irq_save, @function
shim_irq_save:
	count SHIM_IRQ_SAVE
	pushf
	movl shim_if, %eax
	shll $9, %eax
	popf
	ret
	.size shim_irq_save, . - shim_irq_save

	.globl shim_read_cr2
	.type shim_read_cr2, @function
shim_read_cr2:
	count SHIM_READ_CR2
	mov %cr2, AX
	ret
	.size shim_read_cr2, . - shim_read_cr2

	.section .note.GNU-stack, "", @progbits
