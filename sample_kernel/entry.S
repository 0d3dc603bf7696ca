/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* otherwise the linker names it after the object's path */
/*
 * The entry and exit of every exception and interrupt. It calls pv ops while all of the interrupted code's
 * registers except AX are live: what fixup puts there may clobber only what paravirt.toml declares.
 */
#include "paravirt.h"
#include "x86.h"

	.text
	.globl entry
	.balign 16
	.type entry, @function
entry:
	push AX
	PV(io_delay)
	PV_AX(irq_save)
	push AX
	/* Exceptions arrive with interrupts on (interrupts.c), and the shim has a flag of its own. */
	PV_ROOM(irq_disable)
	PV(read_cr2)
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
	INTERRUPT_RETURN
	.size entry, . - entry

	/* AX: what pv_irq_save returned. Every other register is live. */
	.type enable_if_set, @function
enable_if_set:
	testl $FLAGS_IF, %eax
#ifdef NO_PARAVIRT
	jz 1f
	PV(irq_enable)
1:
#else
	jnz pv_irq_enable
#endif
	ret
	.size enable_if_set, . - enable_if_set

	.section .note.GNU-stack, "", @progbits
