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
	jmp pv_irq_save_rax

	function site_tail_long
	jmp pv_flush_tlb

	function site_tail_nothing
	movl $42, %eax
	jmp pv_io_delay

	/* Conditional jumps out of the function: taken when the argument is not 0; below 10; 0. */
	function site_jnz
	testl %edi, %edi
	jnz pv_irq_enable
	ret

	function site_jb
	cmpl $10, %edi
	jb pv_irq_disable
	ret

	function site_jz_nothing
	movl $42, %eax
	testl %edi, %edi
	jz pv_io_delay
	movl $43, %eax
	ret

	/* The slots, with offsets as in struct pv_cpu_ops: cpuid 0, rdmsr 8, wrmsr 16, halt 24. */
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
	call *pv_cpu_ops + 8(%rip)
	value

	function site_slot_jump
	msr_and_value
	jmp *pv_cpu_ops + 16(%rip)

	function site_slot_call_absolute
	movl %edi, %ecx
	call *pv_cpu_ops + 8
	value

	function site_slot_jump_absolute
	msr_and_value
	jmp *pv_cpu_ops + 16

	/* The address taken: mov imm32 of 7 and of 5 bytes, lea, movabs. */
	function site_address_cr3
	movq $pv_read_cr3, %r11
	jmp *%r11

	/*
	 * The assembler would ask for an unsigned 32-bit relocation, which the high half does not fit; the
	 * signed one makes the same bytes. clang 14 forgets the symbol if nothing else names it.
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

	function site_address_cr2
	movabsq $pv_read_cr2, %r10
	jmp *%r10

	/* Pointers, read-only and not. */
	.section .rodata
	.balign 8
	.globl site_pointers
site_pointers:
	.quad pv_irq_enable, pv_irq_disable, pv_io_delay

	.data
	.balign 8
	.globl site_pointers_data
site_pointers_data:
	.quad pv_read_cr3, pv_irq_save_rax

	.section .note.GNU-stack, "", @progbits
