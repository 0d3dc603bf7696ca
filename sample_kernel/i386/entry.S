/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* else the linker names it after the object, wherever that is */
/*
 * The way into and out of every exception and interrupt. It calls pv ops where the interrupted code's
 * registers are all live but eax: what fixup puts there may clobber only what paravirt.toml says.
 */
#include "paravirt.h"
#include "x86.h"

	.text
	.globl entry
	.balign 16
	.type entry, @function
entry:
	pushl %eax
	PV(io_delay)
	PV(irq_save_eax)
	pushl %eax
	/* Exceptions come with interrupts on (interrupts.c), and the shim's flag is not the processor's. */
	PV_ROOM(irq_disable)
	PV(read_cr2)
	pushl %eax
	.irp register, ecx, edx, ebx, ebp, esi, edi
	pushl %\register
	.endr
	cld
	movl %esp, %eax
	call trap
	.irp register, edi, esi, ebp, ebx, edx, ecx
	popl %\register
	.endr
	popl %eax
	popl %eax
	call enable_if_set
	popl %eax
	addl $8, %esp
	iret
	.size entry, . - entry

	/* eax: what pv_irq_save_eax returned. Every other register is live. */
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
