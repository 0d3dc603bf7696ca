/* SPDX-License-Identifier: MIT */
/*
 * For assembly: the entry of an exception or interrupt whose vector and error code are on the
 * stack, up to the return. It calls pv ops while all of the interrupted code's registers except AX
 * are live: what fixup puts there may clobber only what paravirt.toml declares.
 */
/* clang-format off */
	.macro entry_frame name
	.globl \name
	.balign 16
	.type \name, @function
\name:
	push AX
	PV(io_delay)
	PV_AX(irq_save)
	push AX
	/* Exceptions arrive with interrupts on (interrupts.c), and the shim has a flag of its own. */
	PV_ROOM(irq_disable)
	PV_ROOM(read_cr2)
	push AX
	.irp register, BUT_AX
	push %\register
	.endr
	cld
	mov SP, ARG1
	call trap
	.irp register, BUT_AX_BACK
	pop %\register
	.endr
	pop AX
	pop AX
	call enable_if_set
	pop AX
	add $(2 * WORD_SIZE), SP
	.endm
