/* SPDX-License-Identifier: MIT */
	.file "boot.S" /* else the linker names it after the object, wherever that is */
/*
 * From the multiboot entry (32 bits, no paging, running at the physical address, its information in ebx;
 * Multiboot Specification 0.6.96, chapter 3) to kernel_main in the high half, on a page directory that paging.c
 * replaces. A boot loader may have put the image elsewhere than at the address that it was linked for: until
 * the fields that hold absolute addresses are made right, what they refer to is `ebp` bytes behind.
 */
#include "x86.h"

#define PHYSICAL(symbol) (symbol - KERNEL_BASE)
#define MULTIBOOT_HEADER 0x1badb002
#define MULTIBOOT_FLAGS 0 /* where to load what, the ELF header says */
#define HAS_COMMAND_LINE 4 /* in the first word of the information */
#define COMMAND_LINE 16
#define DEBUG_EXIT 0xf4
#define NOT_RELOCATED 0x20 /* and the error: what the kernel ends with if its table is wrong */

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_HEADER, MULTIBOOT_FLAGS, -(MULTIBOOT_HEADER + MULTIBOOT_FLAGS)

	.globl kernel_base
	.set kernel_base, KERNEL_BASE

	.text
	.globl start
	.type start, @function
start:
	/* Where is this? There is no stack to ask with: a word of the information serves, and is put back. */
	movl (%ebx), %eax
	leal 4(%ebx), %esp
	call 1f
1:	popl %ebp
	movl %eax, (%ebx)
	subl $PHYSICAL(1b), %ebp

	/* The first GiB, in 4 MiB pages, both at 0 and at KERNEL_BASE. */
	leal PHYSICAL(boot_directory)(%ebp), %edi
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
	movl $(CR0_PG | CR0_PE), %eax
	movl %eax, %cr0
	leal stack_top(%ebp), %esp
	leal boot_gdt(%ebp), %eax
	pushl %eax
	pushw $(boot_gdt_end - boot_gdt - 1)
	lgdt (%esp)
	leal high_half(%ebp), %eax
	pushl $KERNEL_CS
	pushl %eax
	lret
high_half:
	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	leal stack_top(%ebp), %esp
	leal bp_relocs(%ebp), %eax
	leal kernel_start(%ebp), %edx
	leal kernel_end(%ebp), %ecx
	pushl %ebp
	xorl %ebp, %ebp
	call bp_relocate
	testl %eax, %eax
	jnz 2f
	testl $HAS_COMMAND_LINE, (%ebx)
	jz 1f
	movl COMMAND_LINE(%ebx), %eax
1:	call kernel_main
2:	addl $NOT_RELOCATED, %eax
	outb %al, $DEBUG_EXIT
3:	hlt
	jmp 3b
	.size start, . - start

	.section .rodata
	.balign 8
boot_gdt:
	.quad 0, DESCRIPTOR_CODE, DESCRIPTOR_DATA
boot_gdt_end:

	.bss
	.balign PAGE_SIZE
	.globl boot_directory
boot_directory:
	.skip PAGE_SIZE
	.skip 4 * PAGE_SIZE
stack_top:

	.section .note.GNU-stack, "", @progbits
