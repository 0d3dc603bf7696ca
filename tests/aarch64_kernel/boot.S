/* SPDX-License-Identifier: MIT */
/* Entry from QEMU's `virt`, at EL1 or EL2, with the MMU off; the vectors; the ops as they are without a backend. */
#include "buildplug.h"

	.section .text.boot, "ax"
	.globl start
	.type start, @function
start:
	adrp x0, stack_end
	add x0, x0, :lo12:stack_end
	mov sp, x0
	adrp x0, vectors
	add x0, x0, :lo12:vectors
	mrs x1, CurrentEL
	cmp x1, #2 << 2
	b.eq 1f
	msr vbar_el1, x0
	b 2f
1:	msr vbar_el2, x0
2:	isb
	mov x29, xzr
	mov x30, xzr
	bl main
	.size start, . - start

	.text
	.balign 2048
	.type vectors, @function
vectors:
	.rept 16
	.balign 128
	mov x0, x29
	bl trapped
	.endr
	.size vectors, . - vectors

/* Semihosting: the operation in x0, its block in x1. */
	.globl semihosting
	.type semihosting, @function
semihosting:
	hlt #0xf000
	ret
	.size semihosting, . - semihosting

/* The defaults, which count their calls: every register but x16, x17 and x30 is live where the ops are called. */
	.macro counted name
	.globl \name
	.type \name, @function
\name:
	adrp x16, count
	ldr w17, [x16, :lo12:count]
	add w17, w17, #1
	str w17, [x16, :lo12:count]
	.endm

	counted pv_irq_disable
	msr daifset, #2
	ret
	.size pv_irq_disable, . - pv_irq_disable

	counted pv_irq_enable
	msr daifclr, #2
	ret
	.size pv_irq_enable, . - pv_irq_enable

	counted pv_irq_save
	mrs x0, daif
	msr daifset, #2
	ret
	.size pv_irq_save, . - pv_irq_save

	counted pv_irq_restore
	msr daif, x0
	ret
	.size pv_irq_restore, . - pv_irq_restore

	counted pv_nothing
	ret
	.size pv_nothing, . - pv_nothing

	counted pv_psci
	mov x0, #-1
	ret
	.size pv_psci, . - pv_psci

	counted pv_flush
	dsb ishst
	tlbi vmalle1is
	dsb ish
	isb
	ret
	.size pv_flush, . - pv_flush

/* A call through the slot, and one of an op in a tail call. */
	.globl tick
	.type tick, @function
tick:
	stp x29, x30, [sp, #-16]!
	mov x29, sp
	bp_slot_call pv_ops
	ldp x29, x30, [sp], #16
	b pv_nothing
	.size tick, . - tick

	.globl pv_default_tick
	.type pv_default_tick, @function
pv_default_tick:
	mov x0, #1
	ret
	.size pv_default_tick, . - pv_default_tick

	.data
	.balign 8
	.globl pv_ops
	.type pv_ops, @object
pv_ops:
	.quad pv_default_tick
	.size pv_ops, . - pv_ops
