/* SPDX-License-Identifier: MIT */
/* From the PVH entry to move_and_start() in 64 bits, without an absolute address: page tables and stack lie low. */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad 0x200000 /* start, as the script places it */

	.section .text.start, "ax"
	.code32
	.globl start
	.type start, @function
start:
	movl $0x10000, %edi /* 3 pages: of levels 4, 3, 2 */
	xorl %eax, %eax
	movl $3072, %ecx
	rep stosl
	movl $0x11003, 0x10000
	movl $0x12003, 0x11000
	movl $0x12000, %edi
	movl $0x83, %eax
1:	movl %eax, (%edi)
	addl $8, %edi
	addl $0x200000, %eax
	cmpl $0x13000, %edi
	jb 1b
	movl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $0x10000, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER.LME */
	movl $0x100, %eax
	xorl %edx, %edx
	wrmsr
	movl $0x80000001, %eax /* paging, protection */
	movl %eax, %cr0
	movl $0x9000, %esp
	pushl $0x00af9a00 /* the descriptor of code */
	pushl $0x0000ffff
	pushl $0
	pushl $0
	movl %esp, %eax
	pushl %eax
	pushw $15
	lgdt (%esp)
	call 2f
2:	popl %eax
	addl $long_mode - 2b, %eax
	pushl $8
	pushl %eax
	lret
	.code64
long_mode:
	movl $0x80000, %esp
	xorl %ebp, %ebp
	call move_and_start
	.size start, . - start
	.section .note.GNU-stack, "", @progbits
