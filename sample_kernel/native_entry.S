/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops that entry code calls with every register live. In
 * assembly, because a C function may change more than these may.
 */
#include "x86.h"

	.text

	.globl pv_irq_enable
	.type pv_irq_enable, @function
pv_irq_enable:
	sti
	ret
	.size pv_irq_enable, . - pv_irq_enable

	.globl pv_irq_disable
	.type pv_irq_disable, @function
pv_irq_disable:
	cli
	ret
	.size pv_irq_disable, . - pv_irq_disable

	.globl pv_irq_save
	.type pv_irq_save, @function
pv_irq_save:
	pushf
	pop AX
	ret
	.size pv_irq_save, . - pv_irq_save

	.globl pv_read_cr2
	.type pv_read_cr2, @function
pv_read_cr2:
	mov %cr2, AX
	ret
	.size pv_read_cr2, . - pv_read_cr2

	/* A write to an unused port takes about a microsecond on an old ISA bus. */
	.globl pv_io_delay
	.type pv_io_delay, @function
pv_io_delay:
	outb %al, $0x80
	ret
	.size pv_io_delay, . - pv_io_delay

	.section .note.GNU-stack, "", @progbits
