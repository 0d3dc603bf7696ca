/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry (32 bits, no paging, running at the physical address, start_info in ebx; Xen's
 * docs/misc/pvh.pandoc) to kernel_main in the high half, on page tables that paging.c replaces.
 */
#include "x86.h"

#define PHYSICAL(symbol) (symbol - KERNEL_BASE)
#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad PHYSICAL(pvh_start)

	.text
	.code32
	.globl pvh_start
	.type pvh_start, @function
pvh_start:
	/* The first GiB, in 2 MiB pages, both at 0 and at KERNEL_BASE. */
	movl $PHYSICAL(boot_pdpt) + (PTE_PRESENT | PTE_WRITE), %eax
	movl %eax, PHYSICAL(boot_pml4)
	movl %eax, PHYSICAL(boot_pml4) + 511 * 8
	movl $PHYSICAL(boot_pd) + (PTE_PRESENT | PTE_WRITE), %eax
	movl %eax, PHYSICAL(boot_pdpt)
	movl %eax, PHYSICAL(boot_pdpt) + 510 * 8
	movl $PHYSICAL(boot_pd), %edi
	movl $(PTE_PRESENT | PTE_WRITE | PTE_LARGE), %eax
1:	movl %eax, (%edi)
	addl $8, %edi
	addl $(2 << 20), %eax
	cmpl $(1 << 30), %eax
	jb 1b

	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	movl $EFER_LME, %eax
	xorl %edx, %edx
	wrmsr
	movl $(CR0_PG | CR0_PE), %eax
	movl %eax, %cr0
	lgdt PHYSICAL(boot_gdt_pointer)
	ljmp $KERNEL_CS, $PHYSICAL(long_mode)

	.code64
long_mode:
	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movq $high_half, %rax
	jmp *%rax
high_half:
	movq $stack_top, %rsp
	xorl %ebp, %ebp
	movl %ebx, %edi
	call kernel_main
	ud2
	.size pvh_start, . - pvh_start

	.section .rodata
	.balign 8
boot_gdt:
	.quad 0, DESCRIPTOR_CODE, DESCRIPTOR_DATA
boot_gdt_pointer:
	.short . - boot_gdt - 1
	.long PHYSICAL(boot_gdt)

	.bss
	.balign PAGE_SIZE
boot_pml4:
	.skip PAGE_SIZE
boot_pdpt:
	.skip PAGE_SIZE
boot_pd:
	.skip PAGE_SIZE
	.skip 4 * PAGE_SIZE
stack_top:

	.section .note.GNU-stack, "", @progbits
