/* SPDX-License-Identifier: MIT */
	.file "ap.S" /* otherwise the linker names it after the object's path */
/*
 * The startup code of the second processor: from real mode at AP_BASE, where smp.c copies the first part of this file,
 * to ap_main, with the page tables and descriptors of the first. It loads no task state segment, so a double fault
 * resets the machine, which ends QEMU.
 */
#include "apic.h"
#include "boot.h"
#include "smp.h"

#define COPIED(symbol) (AP_BASE + symbol - ap_start)
#ifdef __x86_64__
#define BITS .code64
#define BOOT_ROOT boot_pml4
#define CR4_TABLES CR4_PAE
#define COPIED_HIGH copied_high(%rip)
#else
#define BITS .code32
#define BOOT_ROOT boot_directory
#define CR4_TABLES CR4_PSE
#define COPIED_HIGH COPIED(copied_high)
#endif

	.section .rodata
	.balign 16
	.globl ap_start, ap_end
	.code16
ap_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl COPIED(copied_gdt_pointer)
	movl $CR4_TABLES, %eax
	movl %eax, %cr4
	movl COPIED(copied_root), %eax
	movl %eax, %cr3
#ifdef __x86_64__
	movl $MSR_EFER, %ecx
	movl $(EFER_LME | EFER_NXE), %eax
	xorl %edx, %edx
	wrmsr
#endif
	movl $(CR0_PG | CR0_WP | CR0_PE), %eax
	movl %eax, %cr0
	ljmpl $KERNEL_CS, $COPIED(copied_paged)
	BITS
copied_paged:
	use_data_segment
	jmp *COPIED_HIGH
	.balign WORD_SIZE
copied_high:
	WORD ap_high
copied_root:
	.long BOOT_ROOT - KERNEL_BASE
copied_gdt_pointer:
	.word copied_gdt_end - copied_gdt - 1
	.long COPIED(copied_gdt)
	descriptors copied_gdt
ap_end:

	.text
	.type ap_high, @function
ap_high:
	lock btsl $0, AT(ap_taken)
	jc 1f
	mov AT(ap_root), AX
	mov AX, %cr3
	lgdt AT(ap_gdt)
	lidt AT(ap_idt)
	lea AT(ap_stack + AP_STACK), SP
	xorl %ebp, %ebp
	call ap_main
1:	hlt
	jmp 1b
	.size ap_high, . - ap_high

	.section .note.GNU-stack, "", @progbits
