/* SPDX-License-Identifier: MIT */
/*
 * The shim's ops. They change only the registers that paravirt.toml declares, which C cannot guarantee. Those that
 * entry code calls with every register live also keep the flags, although they count.
 */
#include "function.h"
#include "x86.h"
#include "shim.h"

	.macro count op
	incl shim_calls + 4 * \op
	.endm

	.macro count_quietly op
	pushf
	count \op
	popf
	.endm

	.text

	.irp register, VALUE_REGISTERS
	/* The flags, with the kernel's interrupt flag instead of the processor's. */
	function shim_irq_save_\register
	count_quietly SHIM_IRQ_SAVE
	pushf
	mov shim_if, %\register
	shl $FLAGS_IF_BIT, %\register
	popf
	end shim_irq_save_\register

	function shim_irq_restore_\register
	count SHIM_IRQ_RESTORE
	bt $FLAGS_IF_BIT, %\register
	setc shim_if /* the other bytes of shim_if are 0 */
	end shim_irq_restore_\register

	function shim_make_pte_\register
	count SHIM_MAKE_PTE
	btc $PTE_PSEUDO_BIT, %\register
	end shim_make_pte_\register

	function shim_pte_val_\register
	count SHIM_PTE_VAL
	btc $PTE_PSEUDO_BIT, %\register
	end shim_pte_val_\register

	function shim_set_pte_\register
	count SHIM_SET_PTE
	mov %\register, (AX)
	end shim_set_pte_\register
	.endr

	function shim_read_cr2
	count_quietly SHIM_READ_FAULT
	mov %cr2, AX
	end shim_read_cr2

	function shim_halt
	count SHIM_HALT
	movl $1, shim_if
	hlt
	end shim_halt

	function shim_read_cr3
	count SHIM_READ_ROOT
	mov %cr3, AX
	end shim_read_cr3

	function shim_write_cr3
	count SHIM_WRITE_ROOT
	mov AX, %cr3
	end shim_write_cr3

	function shim_flush_tlb
	count SHIM_FLUSH_TLB
	mov %cr3, AX
	mov AX, %cr3
	end shim_flush_tlb

	function shim_cpuid
	count SHIM_CPUID
	cmpl $SHIM_LEAF, %eax
	je 1f
	cpuid
	ret
1:	cpuid
	movl shim_vendor, %ebx
	movl shim_vendor + 4, %ecx
	movl shim_vendor + 8, %edx
	end shim_cpuid

	function shim_rdmsr
	count SHIM_RDMSR
	rdmsr
	end shim_rdmsr

	function shim_wrmsr
	count SHIM_WRMSR
	wrmsr
	end shim_wrmsr

	.section .rodata
shim_vendor:
	.ascii SHIM_VENDOR

	.section .note.GNU-stack, "", @progbits
