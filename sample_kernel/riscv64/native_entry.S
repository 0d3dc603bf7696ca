/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops, used before and without fixup: the real instructions. In assembly, because
 * a C function may clobber more than these may. Nothing here calls an op.
 */
#include "arch.h"
#include "function.h"

	.macro op name, first, second
	function \name
	\first
	\second
	end \name
	.endm

	.equ flag, FLAGS_IF /* the preprocessor leaves quoted text alone */

	.text

	op pv_irq_enable, "csrsi sstatus, 2"
	op pv_irq_disable, "csrci sstatus, 2"
	.irp register, VALUE_REGISTERS
	op pv_irq_save_\register, "csrr \register, sstatus", "andi \register, \register, flag"
	op pv_irq_restore_\register, "csrci sstatus, 2", "csrs sstatus, \register"
	op pv_make_pte_\register
	op pv_pte_val_\register
	op pv_set_pte_\register, "sd \register, 0(a0)"
	.endr
	op pv_read_fault, "csrr a0, stval"
	op pv_io_delay
	op pv_read_root, "csrr a0, satp"
	op pv_write_root, "csrw satp, a0", "sfence.vma"
	op pv_flush_tlb, "sfence.vma"
	op native_halt, "wfi", "csrsi sstatus, 2"
	op native_stop, "csrci sstatus, 2", "wfi"

	function pv_set_timer
	csrw STIMECMP, a0
	end pv_set_timer

	function pv_put
	tail uart_put
	.size pv_put, . - pv_put

	.section .note.GNU-stack, "", @progbits
