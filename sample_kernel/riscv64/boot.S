/* SPDX-License-Identifier: MIT */
	.file "boot.S" /* otherwise the linker names it after the object's path */
/*
 * From OpenSBI (S-mode, no paging, running at the physical address of the image's start, the device tree's in a1) to
 * kernel_main in the high half, on a page table that paging.c replaces. The boot loader may have loaded the image away
 * from its link address: all addresses here are relative to the pc, until the words with addresses are relocated.
 */
#include "arch.h"
#include "smp.h"

#define NOT_RELOCATED 0x20 /* plus the error, twice, plus 1: the exit status if the table of relocations is bad */
#define GIGAPAGE 0xcf /* readable, writable, executable, accessed, dirty */
#define ENTRY(address) ((((address) >> PAGING_TOP) & 511) * 8)

	/* With boot_root, to a label in the high half. */
	.macro translate label
	lla t0, boot_root
	srli t1, t0, 12
	li t2, SATP_SV39 << 60
	or t1, t1, t2
	sfence.vma
	csrw satp, t1
	sfence.vma
	fence.i
	lla t0, \label
	li t1, KERNEL_BASE
	add t0, t0, t1
	jr t0
	.endm

	.section .text.boot, "ax", @progbits
	.globl start
	.type start, @function
start:
	csrci sstatus, 2
	csrw sie, zero
	/* OpenSBI 1.1 lets a hart that it is told to start go before it has noted where: then it begins here. */
	lla t0, taken
	li t1, 1
	amoswap.w t1, t1, (t0)
	bnez t1, ap_start
	mv s1, a1

	/* Map the devices' GiB at KERNEL_BASE, and that of memory there and at its own address. */
	lla t0, boot_root
	li t1, PAGE_SIZE / 2 /* offsets have 12 bits, signed */
	add t1, t0, t1
	li t2, GIGAPAGE
	sd t2, ENTRY(KERNEL_BASE) - PAGE_SIZE / 2(t1)
	li t2, (KERNEL_LOAD >> PAGING_TOP << PAGING_TOP >> 2) | GIGAPAGE
	sd t2, ENTRY(KERNEL_BASE + KERNEL_LOAD) - PAGE_SIZE / 2(t1)
	sd t2, ENTRY(KERNEL_LOAD)(t0)
	translate high_half
high_half:
	lla t0, boot_root
	sd zero, ENTRY(KERNEL_LOAD)(t0)
	sfence.vma
	lla sp, stack_top
	mv s0, zero
	lla a0, bp_relocs
	lla a1, kernel_start
	lla a2, kernel_end
	lla t0, linked
	ld t0, 0(t0)
	sub a3, a1, t0
	call bp_relocate
	bnez a0, 1f
	mv a0, s1
	call device_tree_arguments
	call kernel_main
1:	addi a0, a0, NOT_RELOCATED
	slli a0, a0, 1
	addi a0, a0, 1
	slli a0, a0, 16
	li t0, TEST_FAILS
	or a0, a0, t0
	li t0, KERNEL_BASE + TEST_DEVICE
	sw a0, 0(t0)
2:	wfi
	j 2b
	.size start, . - start

	/* Where the second hart starts; virt/smp.c has mapped memory at its own address again. */
	.globl ap_start
	.type ap_start, @function
ap_start:
	csrci sstatus, 2
	csrw sie, zero
	translate ap_high
ap_high:
	lla sp, ap_stack + AP_STACK
	mv s0, zero
	call ap_main
	.size ap_start, . - ap_start

	.bss
	.balign 4
taken: /* 1 since the first hart came; the loader cleared it */
	.skip 4

	.section .rodata
	.balign 8
linked:
	.quad KERNEL_LINKED /* an absolute symbol, not relocated */

	.section .note.GNU-stack, "", @progbits
