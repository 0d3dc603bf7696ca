/* SPDX-License-Identifier: MIT */
/*
 * The shim's ops. They change only the registers that paravirt.toml declares, which C cannot guarantee.
 */
#include "function.h"
#include "shim.h"

	/* Room on the stack, with t0 and t1 saved in it; and back. */
	.macro begin
	addi sp, sp, -32
	sd t0, 0(sp)
	sd t1, 8(sp)
	.endm

	.macro back
	ld t0, 0(sp)
	ld t1, 8(sp)
	addi sp, sp, 32
	.endm

	/* Writes t0 and t1. */
	.macro count op
	lla t0, shim_calls
	lw t1, 4 * \op(t0)
	addi t1, t1, 1
	sw t1, 4 * \op(t0)
	.endm

	/* An op that counts, and then is these instructions. */
	.macro op name, number, first, second, third
	function \name
	begin
	count \number
	back
	\first
	\second
	\third
	end \name
	.endm

	/* Sets the kernel's interrupt flag. */
	.macro set_flag name, value
	function \name
	begin
	lla t0, shim_if
	li t1, \value
	sd t1, 0(t0)
	back
	end \name
	.endm

	.equ pseudo, 1 << PTE_PSEUDO_BIT /* the preprocessor leaves quoted text alone */

	.text

	set_flag shim_irq_enable, 1
	set_flag shim_irq_disable, 0

	.irp register, VALUE_REGISTERS
	/* The kernel's interrupt flag, where the processor's is. */
	op shim_irq_save_\register, SHIM_IRQ_SAVE, "lla \register, shim_if", "ld \register, 0(\register)", "slli \register, \register, 1"

	function shim_irq_restore_\register
	begin
	sd \register, 16(sp)
	count SHIM_IRQ_RESTORE
	ld t0, 16(sp)
	srli t0, t0, 1
	andi t0, t0, 1
	lla t1, shim_if
	sd t0, 0(t1)
	back
	end shim_irq_restore_\register

	op shim_make_pte_\register, SHIM_MAKE_PTE, "xori \register, \register, pseudo"
	op shim_pte_val_\register, SHIM_PTE_VAL, "xori \register, \register, pseudo"
	op shim_set_pte_\register, SHIM_SET_PTE, "sd \register, 0(a0)"
	.endr

	op shim_read_fault, SHIM_READ_FAULT, "csrr a0, stval"
	op shim_read_root, SHIM_READ_ROOT, "csrr a0, satp"
	op shim_write_root, SHIM_WRITE_ROOT, "csrw satp, a0", "sfence.vma"
	op shim_flush_tlb, SHIM_FLUSH_TLB, "sfence.vma"

	function shim_set_timer
	begin
	count SHIM_SET_TIMER
	back
	csrw STIMECMP, a0
	end shim_set_timer

	function shim_put
	begin
	count SHIM_PUT
	back
	tail uart_put
	.size shim_put, . - shim_put

	function shim_halt
	begin
	count SHIM_HALT
	lla t0, shim_if
	li t1, 1
	sd t1, 0(t0)
	wfi
	back
	end shim_halt

	.section .note.GNU-stack, "", @progbits
