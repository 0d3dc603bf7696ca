/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* otherwise the linker names it after the object's path */
/* A function for each form of reference to a pv op that compilers rarely or never emit. The prototypes are in sites.h. */
#include "function.h"

	.text

	/* Tail jumps: an op of one instruction, of more, and "nothing". */
	function site_tail
	b pv_irq_save_x0

	function site_tail_long
	b pv_flush_tlb

	function site_tail_nothing
	mov x0, #42
	b pv_io_delay

	/* Conditional jumps out of the function: taken if the argument is not 0; below 10; 0. */
	function site_jnz
	cbnz w0, pv_irq_enable
	ret

	function site_jb
	cmp w0, #10
	b.lo pv_irq_disable
	ret

	function site_jz_nothing
	mov w1, w0
	mov x0, #42
	cbz w1, pv_io_delay
	mov x0, #43
	ret

	/*
	 * Taken addresses, by one instruction and from a pool: not by adrp and add, which cannot be switched while they run, as
	 * a processor may be between them.
	 */
	function site_address_root
	adr x9, pv_read_root
	br x9

	function site_address_make
	ldr x9, =pv_make_pte_x0
	br x9

	function site_address_val
	adr x10, pv_pte_val_x0
	br x10

	function site_address_fault
	ldr x11, =pv_read_fault
	br x11
	.ltorg

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
	.quad pv_read_root, pv_irq_save_x0

	.section .note.GNU-stack, "", @progbits
