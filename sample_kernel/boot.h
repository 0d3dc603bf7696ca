/* SPDX-License-Identifier: MIT */
/*
 * For assembly: the part of the boot code that both architectures share. Before including it,
 * boot.S defines OFFSET(symbol), the distance from the address in ebp, and FROM_EBP(symbol),
 * the symbol as an operand relative to ebp.
 */
#include "x86.h"

/* clang-format off */
#define DEBUG_EXIT 0xf4
#define NOT_RELOCATED 0x20 /* plus the error: the exit status if the table of relocations is bad */

	/* Sets ebp by a call. There is no stack yet, so a word at ebx is used as one, and restored. */
	.macro where_is_this
	movl (%ebx), %eax
	leal 4(%ebx), %esp
	call 1f
1:	popl %ebp
	movl %eax, (%ebx)
	subl $OFFSET(1b), %ebp
	.endm

	/* Loads boot_gdt, and continues at a label in its code segment. */
	.macro use_descriptors label
	leal FROM_EBP(boot_gdt), %eax
	pushl %eax
	pushw $(boot_gdt_end - boot_gdt - 1)
	lgdt (%esp)
	leal FROM_EBP(\label), %eax
	pushl $KERNEL_CS
	pushl %eax
	lret
	.endm

	.macro use_data_segment
	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	.endm

	/* Ends QEMU; eax: the error of the table. */
	.macro give_up
	addl $NOT_RELOCATED, %eax
	outb %al, $DEBUG_EXIT
3:	hlt
	jmp 3b
	.endm

	.macro descriptors name
	.balign 8
\name:
	.quad 0, DESCRIPTOR_CODE, DESCRIPTOR_DATA
\name\()_end:
	.endm
