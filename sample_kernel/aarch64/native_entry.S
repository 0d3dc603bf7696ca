/* SPDX-License-Identifier: MIT */
/*
 * The default implementations of the pv ops, used before and without fixup: the real instructions. In assembly, because
 * a C function may clobber more than these may. Nothing here calls an op.
 */
#include "arch.h"
#include "function.h"

	.macro op name, instructions:vararg
	function \name
	.irp instruction, \instructions
	\instruction
	.endr
	end \name
	.endm

	.text

	op pv_irq_enable, "msr daifclr, #2"
	op pv_irq_disable, "msr daifset, #2"
	.irp register, VALUE_REGISTERS
	op pv_irq_save_\register, "mrs \register, daif"
	op pv_irq_restore_\register, "msr daif, \register"
	op pv_make_pte_\register
	op pv_pte_val_\register
	op pv_set_pte_\register, "str \register, [x0]"
	.endr
	.irp register, BUT_X0
	op pv_set_pte_next_\register, "str \register, [x0], #8"
	.endr
	op pv_read_fault, "mrs x0, far_el1"
	op pv_io_delay
	op pv_read_root, "mrs x0, ttbr1_el1"
	op pv_write_root, "msr ttbr1_el1, x0", "isb"
	op pv_flush_tlb, "dsb ishst", "tlbi vmalle1is", "dsb ish", "isb"
	op native_halt, "wfi", "msr daifclr, #2"
	op native_stop, "msr daifset, #2", "wfi"
	op pv_set_timer, "msr cntv_cval_el0, x0"

	/* By the conduit that there is. */
	function firmware
	adrp x9, began_at_el2
	ldr x9, [x9, :lo12:began_at_el2]
	cbnz x9, 1f
	hvc #0
	ret
1:	smc #0
	end firmware

	function pv_psci
	b firmware
	.size pv_psci, . - pv_psci

	.section .note.GNU-stack, "", @progbits
