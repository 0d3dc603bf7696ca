/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* otherwise the linker names it after the object's path */
/*
 * A function for each form of reference to a pv op that compilers rarely or never emit, so that there is a
 * site of every kind with any compiler. The prototypes are in sites.h; forms of one architecture are in its
 * folder.
 */
#include "function.h"
#include "x86.h"

	.text

	/* Tail jumps: inline code and return that fit in 5 bytes, that do not fit, and "nothing". */
	function site_tail
	jmp OF_AX(pv_irq_save)

	function site_tail_long
	jmp pv_flush_tlb

	function site_tail_nothing
	movl $42, %eax
	jmp pv_io_delay

	/* Conditional jumps out of the function: taken if the argument is not 0; below 10; 0. */
	function site_jnz
	testl ARG1_LONG, ARG1_LONG
	jnz pv_irq_enable
	ret

	function site_jb
	cmpl $10, ARG1_LONG
	jb pv_irq_disable
	ret

	function site_jz_nothing
	testl ARG1_LONG, ARG1_LONG
	movl $42, %eax
	jz pv_io_delay
	movl $43, %eax
	ret

	/* Pointers, in read-only and in writable data. */
	.section .rodata
	.balign WORD_SIZE
	.globl site_pointers
site_pointers:
	WORD pv_irq_enable, pv_irq_disable, pv_io_delay

	.data
	.balign WORD_SIZE
	.globl site_pointers_data
site_pointers_data:
	WORD pv_read_cr3, OF_AX(pv_irq_save)

	.section .note.GNU-stack, "", @progbits
