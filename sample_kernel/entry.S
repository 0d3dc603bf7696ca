/* SPDX-License-Identifier: MIT */
	.file "entry.S" /* otherwise the linker names it after the object's path */
/* The entry and exit of every exception and interrupt, and what Xen's (x86_64/xen_start.S) shares with it. */
#include "paravirt.h"
#include "x86.h"

#include "entry_frame.h"

	.text
	entry_frame entry
	INTERRUPT_RETURN
	.size entry, . - entry

	/* AX: what pv_irq_save returned. Every other register is live. */
	.globl enable_if_set
	.type enable_if_set, @function
enable_if_set:
	testl $FLAGS_IF, %eax
#ifndef PV_FUNCTION
	jz 1f
	PV(irq_enable)
1:
#else
	jnz PV_FUNCTION(irq_enable)
#endif
	ret
	.size enable_if_set, . - enable_if_set

	.section .note.GNU-stack, "", @progbits
