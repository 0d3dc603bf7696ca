/* SPDX-License-Identifier: MIT */
	.file "xen_start.S" /* otherwise the linker names it after the object's path */
/*
 * What Xen enters a PV domain by: the notes that its builder reads (xen/include/public/elfnote.h), the start, and
 * the entries of traps and events. The image is not relocated: Xen maps it where it is linked.
 */
#include "paravirt.h"
#include "xen.h"

	.macro note type, content:vararg
	.balign 4
	.long 4, 2f - 1f, \type
	.asciz "Xen"
1:	\content
2:
	.endm

	.section .note.Xen, "a", @note
	note 5, .asciz "xen-3.0" /* the interface's version */
	note 6, .asciz "sample"	 /* the guest */
	note 8, .asciz "generic" /* the loader */
	note 3, .quad KERNEL_BASE /* VIRT_BASE: the address of pseudo-physical page 0 */
	note 4, .quad 0		  /* PADDR_OFFSET */
	note 1, .quad xen_start	  /* ENTRY */
	.balign 4

	.text
	/* In 64-bit mode, on a page of stack, interrupts masked, rsi: start_info. */
	.globl xen_start
	.type xen_start, @function
xen_start:
	cld
	leaq stack_top(%rip), %rsp
	xorl %ebp, %ebp
	movq %rsi, %rdi
	call xen_start_c
	movl %eax, %edi
	call kernel_main
	ud2
	.size xen_start, . - xen_start

	/* The entry point of each exception, and that of events: Xen pushes rcx and r11, too. */
	.balign 16
	.globl xen_traps, xen_upcall, xen_failsafe
	.type xen_traps, @function
xen_traps:
	.set vector, 0
	.rept VECTOR_IRQ
	.balign 16
	pop %rcx
	pop %r11
	.if !((WITH_ERROR >> vector) & 1)
	push $0
	.endif
	push $vector
	jmp xen_entry
	.set vector, vector + 1
	.endr
	.size xen_traps, . - xen_traps

	.type xen_upcall, @function
xen_upcall:
	pop %rcx
	pop %r11
	push $0
	push $VECTOR_IRQ
	jmp xen_entry
	.size xen_upcall, . - xen_upcall

	/* A frame to return to is wrong: ds, es, fs and gs are on the stack, too. */
	.type xen_failsafe, @function
xen_failsafe:
	pop %rcx
	pop %r11
	add $32, %rsp
	push $0
	push $VECTOR_PROTECTION
	jmp xen_entry
	.size xen_failsafe, . - xen_failsafe

#include "entry_frame.h"

	entry_frame xen_entry
	push $0 /* flags: the frame has rcx and r11 by themselves */
	push %rcx
	push %r11
	push %rax
	movl $XEN_IRET, %eax
	syscall
	ud2
	.size xen_entry, . - xen_entry

	.section .note.GNU-stack, "", @progbits
