/* SPDX-License-Identifier: MIT */
/*
 * Xen's ops. They change only the registers that paravirt.toml declares, which C cannot guarantee. A hypercall may
 * destroy its arguments, and the processor's instruction destroys rcx and r11.
 */
#include "function.h"
#include "xen.h"

#define AROUND rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
#define AROUND_BACK r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax

	.macro save
	.irp saved, AROUND
	push %\saved
	.endr
	.endm

	.macro restore
	.irp saved, AROUND_BACK
	pop %\saved
	.endr
	.endm

	/* One that must succeed: else the trap says where. */
	.macro hypercall number
	movl $\number, %eax
	syscall
	testl %eax, %eax
	jns 9f
	ud2
9:
	.endm

	/* The hypercall mmuext_op with one operation, whose argument is in rax. */
	.macro mmuext operation
	subq $24, %rsp
	movq $\operation, (%rsp)
	movq %rax, 8(%rsp)
	movq $0, 16(%rsp)
	movq %rsp, %rdi
	movl $1, %esi
	xorl %edx, %edx
	movl $XEN_DOMID_SELF, %r10d
	hypercall XEN_MMUEXT_OP
	addq $24, %rsp
	.endm

	.text

	/* Takes the events that came while they were masked, as every return from a hypercall does. */
	function xen_deliver
	save
	xorl %edi, %edi
	hypercall XEN_XEN_VERSION
	restore
	end xen_deliver

	/* Its address, for inline code: a call through it does not depend on where it stands. */
	.section .rodata
	.balign 8
	.globl xen_deliver_word
	.type xen_deliver_word, @object
xen_deliver_word:
	.quad xen_deliver
	.size xen_deliver_word, . - xen_deliver_word
	.text

	function xen_halt
	save
	movl $XEN_SCHED_BLOCK, %edi /* also unmasks events */
	xorl %esi, %esi
	hypercall XEN_SCHED_OP
	restore
	end xen_halt

	function xen_stop
	movb $1, %gs:XEN_MASK
1:	movl $XEN_SCHED_YIELD, %edi
	xorl %esi, %esi
	hypercall XEN_SCHED_OP
	jmp 1b
	end xen_stop

	/*
	 * Entries have the machine's page numbers. Pages that are not the domain's, such as a device's, keep their
	 * number, and entries that are not present their bits.
	 */
	.macro page_of entry, page
	mov \entry, \page
	shl $12, \page
	shr $24, \page
	.endm

	function xen_make_pte_rax
	testb $PTE_PRESENT, %al
	jz 1f
	push %rcx
	push %rdx
	page_of %rax, %rcx
	cmpq xen_pages, %rcx
	jae 2f
	movq xen_machine_pages, %rdx
	movq (%rdx, %rcx, 8), %rdx
	xorq %rcx, %rdx
	shlq $12, %rdx
	xorq %rdx, %rax
2:	pop %rdx
	pop %rcx
1:
	end xen_make_pte_rax

	function xen_pte_val_rax
	testb $PTE_PRESENT, %al
	jz 1f
	push %rcx
	push %rdx
	page_of %rax, %rcx
	cmpq xen_machine_end, %rcx
	jae 2f
	movabsq $XEN_MACHINE_TO_PHYSICAL, %rdx
	movq (%rdx, %rcx, 8), %rdx
	cmpq xen_pages, %rdx
	jae 2f
	xorq %rcx, %rdx
	shlq $12, %rdx
	xorq %rdx, %rax
2:	pop %rdx
	pop %rcx
	btrq $XEN_PTE_USER_BIT, %rax
	btrq $XEN_PTE_GUEST_BIT, %rax
1:
	end xen_pte_val_rax

	/* The same for the other registers. */
	.macro by_rax op, register
	.ifnc \register, rax
	function \op\()_\register
	push %rax
	mov %\register, %rax
	call \op\()_rax
	mov %rax, %\register
	pop %rax
	end \op\()_\register
	.endif
	.endm

	.irp register, VALUE_REGISTERS
	by_rax xen_make_pte, \register
	by_rax xen_pte_val, \register

	function xen_set_pte_\register
	push %\register
	call xen_set_pte
	lea 8(%rsp), %rsp
	end xen_set_pte_\register
	.endr

	/* Stores the entry that is on the stack at the address in rax. Xen knows it by its machine address. */
	function xen_set_pte
	save
	mov (9 + 1) * 8(%rsp), %rdx
	push %rdx
	movq %rax, %rcx
	andl $(PAGE_SIZE - 1), %ecx
	subq $KERNEL_BASE, %rax
	shrq $12, %rax
	movq xen_machine_pages, %rdx
	movq (%rdx, %rax, 8), %rax
	shlq $12, %rax
	orq %rcx, %rax
	push %rax
	movq %rsp, %rdi
	movl $1, %esi
	xorl %edx, %edx
	movl $XEN_DOMID_SELF, %r10d
	hypercall XEN_MMU_UPDATE
	addq $16, %rsp
	restore
	end xen_set_pte

	function xen_write_cr3
	save
	movq %rax, xen_root
	shrq $12, %rax
	movq xen_machine_pages, %rdx
	movq (%rdx, %rax, 8), %rax
	mmuext XEN_MMUEXT_NEW_BASEPTR
	restore
	end xen_write_cr3

	function xen_flush_tlb
	save
	mmuext XEN_MMUEXT_TLB_FLUSH_LOCAL
	restore
	end xen_flush_tlb

	.section .note.GNU-stack, "", @progbits
