/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops, used before and without fixup: the real
 * instructions. In assembly, because a C function may clobber more than these may, and has other
 * argument registers. Nothing here calls an op.
 */
#include "function.h"
#include "x86.h"

	.macro op name, instruction:vararg
	function \name
	\instruction
	end \name
	.endm

	.text

	op pv_irq_enable, sti
	op pv_irq_disable, cli
	.irp register, VALUE_REGISTERS
	function pv_irq_save_\register
	pushf
	pop %\register
	end pv_irq_save_\register
	function pv_irq_restore_\register
	push %\register
	popf
	end pv_irq_restore_\register
	op pv_make_pte_\register
	op pv_pte_val_\register
	op pv_set_pte_\register, mov %\register, (AX)
	.endr
	op pv_read_cr2, mov %cr2, AX
	/* A write to an unused port takes about a microsecond on an old ISA bus. */
	op pv_io_delay, outb %al, $0x80
	op pv_read_cr3, mov %cr3, AX
	op pv_write_cr3, mov AX, %cr3
	function pv_flush_tlb
	mov %cr3, AX
	mov AX, %cr3
	end pv_flush_tlb
	op native_cpuid, cpuid
	op native_rdmsr, rdmsr
	op native_wrmsr, wrmsr
	function native_halt
	sti
	hlt
	end native_halt

	.section .note.GNU-stack, "", @progbits
