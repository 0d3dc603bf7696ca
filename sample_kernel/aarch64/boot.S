/* SPDX-License-Identifier: MIT */
	.file "boot.S" /* otherwise the linker names it after the object's path */
/*
 * From QEMU (EL1, or EL2 with `virtualization=on`; the MMU off, running at the physical address) to kernel_main at EL1
 * in the high half, on a table that paging.c replaces. The boot loader may have loaded the image away from its link
 * address: all addresses here are relative to the pc, until the words with addresses are relocated.
 */
#include "arch.h"
#include "smp.h"

#define NOT_RELOCATED 0x20 /* plus the error, twice, plus 1: the exit status if the table of relocations is bad */
#define BLOCK (PTE_PRESENT | PTE_ACCESSED)
#define ENTRY(address) ((((address) >> PAGING_TOP) & 511) * 8)
#define MEMORY (KERNEL_LOAD >> PAGING_TOP << PAGING_TOP)

#define EL2 (2 << 2) /* of CurrentEL */
#define EL1_MASKED 0x3c5 /* of SPSR_EL2: EL1 with a stack of its own, all interrupts masked */
#define HCR_RW (1 << 31) /* EL1 is AArch64 */
#define SCTLR_RES1 0x30d00800
#define SCTLR_ON 0x1005 /* MMU, caches */
#define MAIR 0x04ff /* index 0: memory, 1: devices */
/* Both halves: 39 bits, write-back, inner shareable, 4 KiB; physical addresses of 40 bits. */
#define TCR (2 << 32 | 2 << 30 | 3 << 28 | 1 << 26 | 1 << 24 | 25 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 25)

	.macro address register, symbol
	adrp \register, \symbol
	add \register, \register, :lo12:\symbol
	.endm

	/* To EL1, with the MMU off. x19: what CurrentEL was. */
	.macro enter_el1
	msr daifset, #15
	ldr x0, =SCTLR_RES1
	msr sctlr_el1, x0
	mrs x19, CurrentEL
	cmp x19, #EL2
	b.ne 1f
	mov x0, #HCR_RW
	msr hcr_el2, x0
	msr cntvoff_el2, xzr
	mov x0, #EL1_MASKED
	msr spsr_el2, x0
	adr x0, 1f
	msr elr_el2, x0
	eret
1:
	.endm

	/* With boot_root, to a label in the high half. */
	.macro translate label
	address x20, boot_root
	ldr x0, =MAIR
	msr mair_el1, x0
	ldr x0, =TCR
	msr tcr_el1, x0
	msr ttbr0_el1, x20
	msr ttbr1_el1, x20
	dsb sy
	tlbi vmalle1
	ic iallu
	dsb sy
	isb
	ldr x0, =SCTLR_RES1 | SCTLR_ON
	msr sctlr_el1, x0
	isb
	adr x0, \label
	ldr x1, =KERNEL_BASE
	add x0, x0, x1
	br x0
	.endm

	.section .text.boot, "ax", @progbits
	.globl start
	.type start, @function
start:
	enter_el1
	/* Map the devices' GiB at KERNEL_BASE, and that of memory there and at its own address. */
	address x20, boot_root
	ldr x0, =BLOCK | 1 << PTE_ATTRIBUTES
	str x0, [x20, #ENTRY(KERNEL_BASE)]
	ldr x0, =MEMORY | BLOCK | PTE_SHARED
	str x0, [x20, #ENTRY(KERNEL_BASE + MEMORY)]
	str x0, [x20, #ENTRY(MEMORY)]
	translate high_half
high_half:
	address x20, boot_root
	str xzr, [x20, #ENTRY(MEMORY)]
	dsb ish
	tlbi vmalle1
	dsb ish
	isb
	address x0, stack_top
	mov sp, x0
	mov x29, xzr
	mov x30, xzr
	address x0, bp_relocs
	address x1, kernel_start
	address x2, kernel_end
	ldr x3, =KERNEL_LINKED /* an absolute symbol, not relocated */
	sub x3, x1, x3
	bl bp_relocate
	cbnz x0, 2f
	cmp x19, #EL2
	cset x0, eq
	address x1, began_at_el2
	str x0, [x1]
	ldr x0, =DEVICE_TREE
	bl device_tree_arguments
	bl kernel_main
2:	add x0, x0, #NOT_RELOCATED
	lsl x0, x0, #1
	add x0, x0, #1
	mov x1, #0x26 /* as end_machine() of arch.h */
	movk x1, #2, lsl #16
	stp x1, x0, [sp, #-16]!
	mov x0, #0x18
	mov x1, sp
	hlt #0xf000
3:	wfi
	b 3b
	.size start, . - start

	/* Where the second processor starts; virt/smp.c has mapped memory at its own address again. */
	.globl ap_start
	.type ap_start, @function
ap_start:
	enter_el1
	translate ap_high
ap_high:
	address x0, ap_stack + AP_STACK
	mov sp, x0
	mov x29, xzr
	mov x30, xzr
	bl ap_main
	.size ap_start, . - ap_start
	.ltorg

	.bss
	.balign 8
	.globl began_at_el2
	.type began_at_el2, @object
began_at_el2:
	.skip 8
	.size began_at_el2, 8

	.section .note.GNU-stack, "", @progbits
