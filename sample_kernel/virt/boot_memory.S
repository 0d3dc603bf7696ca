/* SPDX-License-Identifier: MIT */
/* For ARCH/boot.S: where the kernel is, its first page table, which virt/poke.c uses later, and its stack. */
#include "arch.h"

	.globl kernel_base
	.set kernel_base, KERNEL_BASE
	.globl kernel_load
	.set kernel_load, KERNEL_LOAD

	.bss
	.balign PAGE_SIZE
	.globl boot_root
boot_root:
	.skip PAGE_SIZE
	.skip 4 * PAGE_SIZE
	.globl stack_top
stack_top:

	.section .note.GNU-stack, "", @progbits
