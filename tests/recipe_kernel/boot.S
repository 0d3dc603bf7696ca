/* SPDX-License-Identifier: MIT */
/*
 * The kernel of the README's recipes: from the PVH entry (32 bits, no paging) to main() in 64 bits, which ends QEMU
 * when it returns; and print(), for a line.
 */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start, 0

	.text
	.code32
	.globl start
	.type start, @function
start:
	movl $stack_top, %esp
	movl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER.LME */
	movl $0x100, %eax
	xorl %edx, %edx
	wrmsr
	movl $0x80000001, %eax /* paging, protection */
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $long_mode
	.code64
long_mode:
	xorl %ebp, %ebp
	call main
	movb $0x10, %al
	outb %al, $0xf4
1:	hlt
	jmp 1b
	.size start, . - start

	.globl print
	.type print, @function
print:
	movw $0x3f8, %dx
1:	movb (%rdi), %al
	testb %al, %al
	jz 2f
	outb %al, %dx
	incq %rdi
	jmp 1b
2:	movb $10, %al
	outb %al, %dx
	ret
	.size print, . - print

	.data
	.balign 4096
pml4:	.quad pdpt + 3
	.balign 4096
pdpt:	.quad pd + 3
	.balign 4096
pd:	.quad 0x83 /* 2 MiB */
	.balign 4096
gdt:	.quad 0, 0x00af9a000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.skip 4096
stack_top:
	.section .note.GNU-stack, "", @progbits
