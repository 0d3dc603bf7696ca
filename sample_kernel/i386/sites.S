/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* otherwise the linker names it after the object's path */
/* Sites as in ../sites.S, in the forms that only i386 has. */
#include "function.h"

	.text

	/* The slots, with offsets as in struct pv_cpu_ops: rdmsr 0, wrmsr 4, halt 8. Their addresses are
	   always absolute. */
	function site_slot_call
	function site_slot_call_absolute
	movl %eax, %ecx
	call *pv_cpu_ops
	ret

	function site_slot_jump
	function site_slot_jump_absolute
	movl %eax, %ecx
	movl %edx, %eax
	xorl %edx, %edx
	jmp *pv_cpu_ops + 4

	/* Taken addresses: mov imm32 of 5 and of 6 bytes, lea, push. */
	function site_address_root
	movl $pv_read_cr3, %ecx
	jmp *%ecx

	function site_address_make
	.byte 0xc7, 0xc1 /* movl $pv_make_pte_eax, %ecx */
	.long pv_make_pte_eax
	jmp *%ecx

	function site_address_val
	leal pv_pte_val_eax, %ecx
	jmp *%ecx

	function site_address_fault
	pushl $pv_read_cr2
	ret

	.section .note.GNU-stack, "", @progbits
