/* SPDX-License-Identifier: MIT */
	.file "boot.S" /* otherwise the linker names it after the object's path */
/*
 * From the PVH entry (32 bits, no paging, running at the physical address, start_info in ebx; Xen's
 * docs/misc/pvh.pandoc) to kernel_main in the high half, on page tables that paging.c replaces. The boot
 * loader may have loaded the image away from its link address: all addresses here are relative to the
 * instruction, until the fields with absolute addresses are relocated.
 */
#define PHYSICAL(symbol) (symbol - KERNEL_BASE)
#define OFFSET(symbol) (symbol - start)
#define FROM_EBP(symbol) OFFSET(symbol)(%ebp)
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define COMMAND_LINE 24 /* in start_info */
#include "boot.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long PHYSICAL(start), 0

	.globl kernel_base
	.set kernel_base, KERNEL_BASE
	.globl kernel_load
	.set kernel_load, 0x100000

	.text
	.code32
	.globl start
	.type start, @function
start:
	where_is_this
	leal FROM_EBP(stack_top), %esp

	/* Map the first GiB in 2 MiB pages, at 0 and at KERNEL_BASE. */
	leal FROM_EBP(boot_pdpt), %edi
	leal (PTE_PRESENT | PTE_WRITE)(%edi), %eax
	movl %eax, FROM_EBP(boot_pml4)
	movl %eax, 511 * 8 + FROM_EBP(boot_pml4)
	leal FROM_EBP(boot_pd), %edi
	leal (PTE_PRESENT | PTE_WRITE)(%edi), %eax
	movl %eax, FROM_EBP(boot_pdpt)
	movl %eax, 510 * 8 + FROM_EBP(boot_pdpt)
	movl $(PTE_PRESENT | PTE_WRITE | PTE_LARGE), %eax
1:	movl %eax, (%edi)
	addl $8, %edi
	addl $(2 << 20), %eax
	cmpl $(1 << 30), %eax
	jb 1b

	movl $CR4_PAE, %eax
	movl %eax, %cr4
	leal FROM_EBP(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	movl $EFER_LME, %eax
	xorl %edx, %edx
	wrmsr
	movl $(CR0_PG | CR0_WP | CR0_PE), %eax
	movl %eax, %cr0
	use_descriptors long_mode

	.code64
long_mode:
	use_data_segment
	leaq high_half(%rip), %rax
	addq $KERNEL_BASE, %rax
	jmp *%rax
high_half:
	leaq stack_top(%rip), %rsp
	xorl %ebp, %ebp
	leaq bp_relocs(%rip), %rdi
	leaq kernel_start(%rip), %rsi
	leaq kernel_end(%rip), %rdx
	movq %rsi, %rcx
	subq $KERNEL_LINKED, %rcx /* an absolute symbol, not relocated */
	call bp_relocate
	testl %eax, %eax
	jnz 2f
	movl COMMAND_LINE(%rbx), %edi
	call kernel_main
2:	give_up
	.size start, . - start

	.section .rodata
	descriptors boot_gdt

	.bss
	.balign PAGE_SIZE
	.globl boot_pml4
boot_pml4:
	.skip PAGE_SIZE
boot_pdpt:
	.skip PAGE_SIZE
boot_pd:
	.skip PAGE_SIZE
	.skip 4 * PAGE_SIZE
	.globl stack_top
stack_top:

	.section .note.GNU-stack, "", @progbits
