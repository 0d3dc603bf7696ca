/* SPDX-License-Identifier: MIT */
/*
 * From the PVH entry (32 bits, no paging; Xen's docs/misc/pvh.pandoc) to main() in 64 bits, with the first GiB
 * mapped where it is.
 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PRESENT_WRITE 3
#define LARGE 0x80
#define CR4_PAE 0x20
#define CR0_PG_PE 0x80000001
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.globl load_address /* for kernel.lds */
	.set load_address, 0x100000

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long start, 0

	.text
	.code32
	.globl start
	.type start, @function
start:
	movl $stack_top, %esp
	movl $(PRESENT_WRITE | LARGE), %eax
	movl $page_directory, %edi
1:	movl %eax, (%edi) /* 512 pages of 2 MiB */
	addl $8, %edi
	addl $(2 << 20), %eax
	cmpl $(1 << 30), %eax
	jb 1b
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $page_map, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	movl $EFER_LME, %eax
	xorl %edx, %edx
	wrmsr
	movl $CR0_PG_PE, %eax
	movl %eax, %cr0
	lgdt descriptors
	ljmp $8, $long_mode
	.size start, . - start

	.code64
	.type long_mode, @function
long_mode:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %ebp, %ebp /* where a backtrace ends */
	call main
1:	hlt
	jmp 1b
	.size long_mode, . - long_mode

	.data
	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff /* code of 64 bits */
descriptors:
	.word . - gdt - 1
	.long gdt
	.balign 4096
page_map:
	.quad page_pointers + PRESENT_WRITE
	.balign 4096
page_pointers:
	.quad page_directory + PRESENT_WRITE

	.bss
	.balign 4096
page_directory:
	.skip 4096
	.skip 4 * 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
