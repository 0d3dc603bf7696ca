/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry (32 bits, no paging) to kernel_main() in 64 bits. Linked at V2P (default: 0) above where it is
 * loaded, below 1 GiB; V2P is 0 or 0xffffffff80000000.
 */
#ifndef V2P
#define V2P 0
#endif
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start - V2P

	.section .text.start, "ax"
	.code32
	.globl start
	.type start, @function
start:
	movl $stack_top - V2P, %esp
	movl $0x620, %eax /* PAE, SSE */
	movl %eax, %cr4
	movl $pml4 - V2P, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER.LME */
	movl $0x100, %eax
	xorl %edx, %edx
	wrmsr
	movl $0x80000001, %eax /* paging, protection */
	movl %eax, %cr0
	lgdt gdt_pointer - V2P
	ljmp $8, $(long_mode - V2P)
	.code64
long_mode:
	movabsq $upper, %rax
	jmp *%rax
upper:
	movabsq $stack_top, %rsp
	xorl %ebp, %ebp
	call kernel_main
	call halt
	.size start, . - start

	.data
	.balign 4096
pml4:	.quad pdpt - V2P + 3
	.skip 510 * 8
	.quad pdpt - V2P + 3
pdpt:	.quad pd - V2P + 3
	.skip 509 * 8
	.quad pd - V2P + 3, 0
pd:	.set address, 0x83 /* 2 MiB */
	.rept 512
	.quad address
	.set address, address + 0x200000
	.endr
gdt:	.quad 0, 0x00af9a000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt - V2P

	.bss
	.balign 16
	.skip 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
