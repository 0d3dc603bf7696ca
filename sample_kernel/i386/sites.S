/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* else the linker names it after the object, wherever that is */
/*
 * A function for each way to refer to a pv op that compilers use seldom or never: so that there is a
 * site of every kind whatever compiles the C. sites.h has the prototypes.
 */
#include "function.h"

	.text

	/* Tail jumps: code and return that fit in 5 bytes, that do not, and nothing. */
	function site_tail
	jmp pv_irq_save_eax

	function site_tail_long
	jmp pv_flush_tlb

	function site_tail_nothing
	movl $42, %eax
	jmp pv_io_delay

	/* Conditional jumps out of the function: taken when the argument is not 0; below 10; 0. */
	function site_jnz
	testl %eax, %eax
	jnz pv_irq_enable
	ret

	function site_jb
	cmpl $10, %eax
	jb pv_irq_disable
	ret

	function site_jz_nothing
	testl %eax, %eax
	movl $42, %eax
	jz pv_io_delay
	movl $43, %eax
	ret

	/* The slots, with offsets as in struct pv_cpu_ops: cpuid 0, rdmsr 4, wrmsr 8, halt 12. Their addresses are always absolute. */
	function site_slot_call
	function site_slot_call_absolute
	movl %eax, %ecx
	call *pv_cpu_ops + 4
	ret

	function site_slot_jump
	function site_slot_jump_absolute
	movl %eax, %ecx
	movl %edx, %eax
	xorl %edx, %edx
	jmp *pv_cpu_ops + 8

	/* The address taken: mov imm32 of 5 and of 6 bytes, lea, push. */
	function site_address_cr3
	movl $pv_read_cr3, %ecx
	jmp *%ecx

	function site_address_make
	.byte 0xc7, 0xc1 /* movl $pv_make_pte_eax, %ecx */
	.long pv_make_pte_eax
	jmp *%ecx

	function site_address_val
	leal pv_pte_val_eax, %ecx
	jmp *%ecx

	function site_address_cr2
	pushl $pv_read_cr2
	ret

	/* Pointers, read-only and not. */
	.section .rodata
	.balign 4
	.globl site_pointers
site_pointers:
	.long pv_irq_enable, pv_irq_disable, pv_io_delay

	.data
	.balign 4
	.globl site_pointers_data
site_pointers_data:
	.long pv_read_cr3, pv_irq_save_eax

	.section .note.GNU-stack, "", @progbits
