/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* otherwise the linker names it after the object's path */
/*
 * A function for each form of reference to a pv op that compilers rarely or never emit. The prototypes are in sites.h.
 * Ops are out of reach of conditional branches, so there are only branches around jumps to them.
 */
#include "function.h"

	.text

	/* Tail jumps: inline code and return that fit, that may not fit, and "nothing". */
	function site_tail
	tail pv_irq_save_a0

	function site_tail_long
	tail pv_flush_tlb

	function site_tail_nothing
	li a0, 42
	tail pv_io_delay

	/* Jumps out of the function that are taken or not: taken if the argument is not 0; below 10; 0. */
	function site_jnz
	beqz a0, 1f
	j pv_irq_enable
1:	ret

	function site_jb
	li t0, 10
	bgeu a0, t0, 1f
	j pv_irq_disable
1:	ret

	function site_jz_nothing
	mv t0, a0
	li a0, 42
	bnez t0, 1f
	j pv_io_delay
1:	li a0, 43
	ret

	/* Taken addresses. */
	function site_address_root
	lla t1, pv_read_root
	jr t1

	function site_address_make
	lla t1, pv_make_pte_a0
	jr t1

	function site_address_val
	lla t2, pv_pte_val_a0
	jr t2

	function site_address_fault
	lla a5, pv_read_fault
	jr a5

	/* Pointers, in read-only and in writable data. */
	.section .rodata
	.balign 8
	.globl site_pointers
site_pointers:
	.quad pv_irq_enable, pv_irq_disable, pv_io_delay

	.data
	.balign 8
	.globl site_pointers_data
site_pointers_data:
	.quad pv_read_root, pv_irq_save_a0

	.section .note.GNU-stack, "", @progbits
