/* SPDX-License-Identifier: MIT */
/*
 * For assembly: of a processor's first instructions those that either architecture has. boot.S
 * defines before it OFFSET(symbol), the distance from what ebp has the address of, and
 * FROM_EBP(symbol), the symbol as an operand relative to ebp.
 */
#include "x86.h"

/* clang-format off */
#define DEBUG_EXIT 0xf4
#define NOT_RELOCATED 0x20 /* and the error: what the kernel ends with if its table is wrong */

	/* Sets ebp. There is no stack to ask with: a word of what ebx points to serves, and is put back. */
	.macro where_is_this
	movl (%ebx), %eax
	leal 4(%ebx), %esp
	call 1f
1:	popl %ebp
	movl %eax, (%ebx)
	subl $OFFSET(1b), %ebp
	.endm

	/* Loads boot_gdt, and goes on at a label as its code segment says. */
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

	/* Ends QEMU; eax says what is wrong with the table. */
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
