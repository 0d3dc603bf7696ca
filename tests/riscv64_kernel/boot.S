/* SPDX-License-Identifier: MIT */
/* Entry from OpenSBI on QEMU's `virt`, in S-mode, by any hart; the trap vector; the ops as they are without a backend. */
#include "buildplug.h"

	.section .text.boot, "ax"
	.globl start
	.type start, @function
start:
	.option push
	.option norelax
	lla gp, __global_pointer$
	.option pop
	lla sp, stack_end
	lla t0, vector
	csrw stvec, t0
	mv s0, zero
	mv ra, zero
	call main
	.size start, . - start

	.text
	.balign 4
	.type vector, @function
vector:
	mv a0, s0
	call trapped
	.size vector, . - vector

/* Semihosting: the operation in a0, its block in a1; these instructions, in one page, are how the host knows it. */
	.globl semihosting
	.type semihosting, @function
	.balign 16
semihosting:
	.option push
	.option norvc
	slli x0, x0, 0x1f
	ebreak
	srai x0, x0, 7
	.option pop
	ret
	.size semihosting, . - semihosting

/* The defaults, which count their calls: every register but ra, t0 and t1 is live where the ops are called. */
	.macro counted name
	.globl \name
	.type \name, @function
\name:
	lla t0, count
	lw t1, 0(t0)
	addi t1, t1, 1
	sw t1, 0(t0)
	.endm

	counted pv_irq_disable
	csrci sstatus, 2
	ret
	.size pv_irq_disable, . - pv_irq_disable

	counted pv_irq_enable
	csrsi sstatus, 2
	ret
	.size pv_irq_enable, . - pv_irq_enable

	counted pv_irq_save
	csrrci a0, sstatus, 2
	andi a0, a0, 2
	ret
	.size pv_irq_save, . - pv_irq_save

	counted pv_irq_restore
	csrs sstatus, a0
	ret
	.size pv_irq_restore, . - pv_irq_restore

	counted pv_nothing
	ret
	.size pv_nothing, . - pv_nothing

	counted pv_flush
	sfence.vma
	ret
	.size pv_flush, . - pv_flush

	counted pv_set_timer
	ret
	.size pv_set_timer, . - pv_set_timer

	counted pv_time
	li a0, 0
	ret
	.size pv_time, . - pv_time

/* A call through the slot, and one of an op in a tail call. */
	.globl tick
	.type tick, @function
tick:
	addi sp, sp, -16
	sd ra, 8(sp)
	sd s0, 0(sp)
	addi s0, sp, 16
	bp_slot_call pv_ops
	ld ra, 8(sp)
	ld s0, 0(sp)
	addi sp, sp, 16
	tail pv_nothing
	.size tick, . - tick

	.globl pv_default_tick
	.type pv_default_tick, @function
pv_default_tick:
	li a0, 1
	ret
	.size pv_default_tick, . - pv_default_tick

	.data
	.balign 8
	.globl pv_ops
	.type pv_ops, @object
pv_ops:
	.quad pv_default_tick
	.size pv_ops, . - pv_ops
