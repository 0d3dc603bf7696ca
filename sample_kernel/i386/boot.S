/* SPDX-License-Identifier: MIT */
	.file "boot.S" /* otherwise the linker names it after the object's path */
/*
 * From the multiboot entry (32 bits, no paging, running at the physical address, its information in ebx;
 * Multiboot Specification 0.6.96, chapter 3) to kernel_main in the high half, on a page directory that paging.c
 * replaces. The boot loader may have loaded the image away from its link address: until the fields with absolute
 * addresses are relocated, their targets are `ebp` bytes further.
 */
#define OFFSET(symbol) (symbol - KERNEL_BASE)
#define FROM_EBP(symbol) symbol(%ebp) /* with paging */
#define MULTIBOOT_HEADER 0x1badb002
#define MULTIBOOT_FLAGS 0 /* load addresses are in the ELF header */
#define HAS_COMMAND_LINE 4 /* in the first word of the information */
#define COMMAND_LINE 16
#include "boot.h"

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER, MULTIBOOT_FLAGS, -(MULTIBOOT_HEADER + MULTIBOOT_FLAGS)

	.globl kernel_base
	.set kernel_base, KERNEL_BASE
	.globl kernel_load
	.set kernel_load, 0x100000

	.text
	.globl start
	.type start, @function
start:
	where_is_this

	/* Map the first GiB in 4 MiB pages, at 0 and at KERNEL_BASE. */
	leal OFFSET(boot_directory)(%ebp), %edi
	movl %edi, %cr3
	movl $(PTE_PRESENT | PTE_WRITE | PTE_LARGE), %eax
1:	movl %eax, (%edi)
	movl %eax, (KERNEL_BASE >> 22) * 4(%edi)
	addl $4, %edi
	addl $(4 << 20), %eax
	cmpl $(1 << 30), %eax
	jb 1b

	movl $CR4_PSE, %eax
	movl %eax, %cr4
	movl $(CR0_PG | CR0_WP | CR0_PE), %eax
	movl %eax, %cr0
	leal FROM_EBP(stack_top), %esp
	use_descriptors high_half
high_half:
	use_data_segment
	leal FROM_EBP(stack_top), %esp
	leal FROM_EBP(bp_relocs), %eax
	leal FROM_EBP(kernel_start), %edx
	leal FROM_EBP(kernel_end), %ecx
	pushl %ebp
	xorl %ebp, %ebp
	call bp_relocate
	testl %eax, %eax
	jnz 2f
	testl $HAS_COMMAND_LINE, (%ebx)
	jz 1f
	movl COMMAND_LINE(%ebx), %eax
1:	call kernel_main
2:	give_up
	.size start, . - start

	.section .rodata
	descriptors boot_gdt

	.bss
	.balign PAGE_SIZE
	.globl boot_directory
boot_directory:
	.skip PAGE_SIZE
	.skip 4 * PAGE_SIZE
stack_top:

	.section .note.GNU-stack, "", @progbits
