/* SPDX-License-Identifier: MIT */
/*
 * The shim's ops. They change only the registers that paravirt.toml declares, which C cannot guarantee: x16 and x17 are
 * free in all of them.
 */
#include "function.h"
#include "shim.h"

	.macro count op
	adrp x16, shim_calls + 4 * \op
	ldr w17, [x16, :lo12:shim_calls + 4 * \op]
	add w17, w17, #1
	str w17, [x16, :lo12:shim_calls + 4 * \op]
	.endm

	/* An op that counts, and then is these instructions. */
	.macro op name, number, instructions:vararg
	function \name
	count \number
	.irp instruction, \instructions
	\instruction
	.endr
	end \name
	.endm

	/* Sets the kernel's interrupt flag. */
	.macro set_flag value
	adrp x16, shim_if
	mov x17, #\value
	str x17, [x16, :lo12:shim_if]
	.endm

	/* The preprocessor leaves quoted text alone. */
	.equ pseudo, 1 << PTE_PSEUDO_BIT

	.text

	function shim_irq_enable
	set_flag 1
	end shim_irq_enable

	function shim_irq_disable
	set_flag 0
	end shim_irq_disable

	.irp register, VALUE_REGISTERS
	/* DAIF's bit, which is set where the kernel's interrupt flag is not. */
	function shim_irq_save_\register
	count SHIM_IRQ_SAVE
	adrp x16, shim_if
	ldr \register, [x16, :lo12:shim_if]
	eor \register, \register, #1
	lsl \register, \register, #FLAGS_MASKED_BIT
	end shim_irq_save_\register

	/* No call has its flags in x16 or x17, which it may write. */
	function shim_irq_restore_\register
	count SHIM_IRQ_RESTORE
	ubfx x17, \register, #FLAGS_MASKED_BIT, #1
	eor x17, x17, #1
	adrp x16, shim_if
	str x17, [x16, :lo12:shim_if]
	end shim_irq_restore_\register

	op shim_make_pte_\register, SHIM_MAKE_PTE, "eor \register, \register, #pseudo"
	op shim_pte_val_\register, SHIM_PTE_VAL, "eor \register, \register, #pseudo"
	op shim_set_pte_\register, SHIM_SET_PTE, "str \register, [x0]"
	.endr
	.irp register, BUT_X0
	op shim_set_pte_next_\register, SHIM_SET_PTE, "str \register, [x0], #8"
	.endr

	op shim_read_fault, SHIM_READ_FAULT, "mrs x0, far_el1"
	op shim_read_root, SHIM_READ_ROOT, "mrs x0, ttbr1_el1"
	op shim_write_root, SHIM_WRITE_ROOT, "msr ttbr1_el1, x0", "isb"
	op shim_flush_tlb, SHIM_FLUSH_TLB, "dsb ishst", "tlbi vmalle1is", "dsb ish", "isb"
	op shim_set_timer, SHIM_SET_TIMER, "msr cntv_cval_el0, x0"

	/* Has a version of its own, and passes other calls on. */
	function shim_psci
	count SHIM_PSCI
	mov w9, #PSCI_VERSION
	cmp w0, w9
	b.ne firmware
	mov x0, #SHIM_PSCI_VERSION
	end shim_psci

	function shim_halt
	count SHIM_HALT
	set_flag 1
	wfi
	end shim_halt

	.section .note.GNU-stack, "", @progbits
