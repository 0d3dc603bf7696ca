/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops, used before and without fixup: the real
 * instructions, or under Xen the code of that backend. In assembly, because a C function may clobber more than these
 * may, and has other argument registers. Nothing here calls an op.
 */
#include "function.h"
#include "x86.h"
#include "xen.h"

	.macro op name, xen, instruction:vararg
	function \name
	under_xen \xen
	\instruction
	end \name
	.endm

	.text

	op pv_irq_enable, bp_paravirt_xen__irq_enable, sti
	op pv_irq_disable, bp_paravirt_xen__irq_disable, cli
	.irp register, VALUE_REGISTERS
	function pv_irq_save_\register
	under_xen bp_paravirt_xen__irq_save_\register
	pushf
	pop %\register
	end pv_irq_save_\register
	function pv_irq_restore_\register
	under_xen bp_paravirt_xen__irq_restore_\register
	push %\register
	popf
	end pv_irq_restore_\register
	op pv_make_pte_\register, xen_make_pte_\register
	op pv_pte_val_\register, xen_pte_val_\register
	op pv_set_pte_\register, xen_set_pte_\register, mov %\register, (AX)
	.endr
	op pv_read_cr2, bp_paravirt_xen__read_cr2, mov %cr2, AX
	/* A write to an unused port takes about a microsecond on an old ISA bus. */
	op pv_io_delay, bp_paravirt_xen__io_delay, outb %al, $0x80
	op pv_read_cr3, bp_paravirt_xen__read_cr3, mov %cr3, AX
	op pv_write_cr3, xen_write_cr3, mov AX, %cr3
	function pv_flush_tlb
	under_xen xen_flush_tlb
	mov %cr3, AX
	mov AX, %cr3
	end pv_flush_tlb
	op pv_cpuid, bp_paravirt_xen__cpuid, cpuid
	op native_rdmsr, bp_paravirt_xen__rdmsr, rdmsr
	op native_wrmsr, bp_paravirt_xen__wrmsr, wrmsr
	function native_halt
	under_xen xen_halt
	sti
	hlt
	end native_halt
	function native_stop
	under_xen xen_stop
	cli
	hlt
	end native_stop

	.section .note.GNU-stack, "", @progbits
