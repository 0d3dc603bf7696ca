/* SPDX-License-Identifier: MIT */
	.file "sites.S" /* otherwise the linker names it after the object's path */
/* Sites as in ../sites.S, in the forms that only x86_64 has. */
#include "function.h"

	.text

	/* The slots, with offsets as in struct pv_cpu_ops: rdmsr 0, wrmsr 8, halt 16. */
	.macro msr_and_value
	movl %edi, %ecx
	movl %esi, %eax
	movq %rsi, %rdx
	shrq $32, %rdx
	.endm

	.macro value
	shlq $32, %rdx
	orq %rdx, %rax
	ret
	.endm

	function site_slot_call
	movl %edi, %ecx
	call *pv_cpu_ops(%rip)
	value

	function site_slot_jump
	msr_and_value
	jmp *pv_cpu_ops + 8(%rip)

	function site_slot_call_absolute
	movl %edi, %ecx
	call *pv_cpu_ops
	value

	function site_slot_jump_absolute
	msr_and_value
	jmp *pv_cpu_ops + 8

	/* Taken addresses: mov imm32 of 7 and of 5 bytes, lea, movabs. */
	function site_address_root
	movq $pv_read_cr3, %r11
	jmp *%r11

	/*
	 * The assembler would use an unsigned 32-bit relocation, which high-half addresses do not fit; the signed
	 * one gives the same bytes. clang 14 drops the symbol if nothing else refers to it.
	 */
	function site_address_make
	.globl pv_make_pte_rax
	.byte 0xb9 /* movl $pv_make_pte_rax, %ecx */
	.reloc ., R_X86_64_32S, pv_make_pte_rax
	.long 0
	movslq %ecx, %rcx
	movq %rdi, %rax
	jmp *%rcx

	function site_address_val
	leaq pv_pte_val_rax(%rip), %rcx
	movq %rdi, %rax
	jmp *%rcx

	function site_address_fault
	movabsq $pv_read_cr2, %r10
	jmp *%r10

	.section .note.GNU-stack, "", @progbits
