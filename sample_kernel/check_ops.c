/* SPDX-License-Identifier: MIT */
/*
 * Checks that every op works, called from C. Runs with all interrupt lines masked, so that the
 * entry code's calls do not add to the shim's counts. halt, which needs a timer, is in
 * check_traps.c.
 */
#include "check.h"
#include "paravirt.h"
#include "shim.h"

static char pages[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void check_irq(struct report *report)
{
	unsigned long on = KERNEL_IF | PROCESSOR_IF, off = report->irq_off;
	unsigned long flags;

	pv_irq_enable();
	check(report, "irq_enable", irq_state(), on);
	flags = pv_irq_save();
	check_op(report, "irq_save", SHIM_IRQ_SAVE, flags_are_on(flags), true);
	pv_irq_disable();
	check(report, "irq_disable", irq_state(), off);
	pv_irq_restore(flags);
	check_op(report, "irq_restore", SHIM_IRQ_RESTORE, irq_state(), on);
	pv_irq_restore(FLAGS_OFF);
	check_op(report, "irq_restore-off", SHIM_IRQ_RESTORE, irq_state(), off);
}

static void check_pte(struct report *report)
{
	volatile unsigned long *entry = paging_entry(pages[0]);
	volatile char *page = pages[0];
	unsigned long value, other, pte;

	/* Stored by paging.c. */
	check(report, "paging", pv_pte_val(*paging_entry(text_start)) & ~PTE_USED,
	      (PTE_OF(physical(text_start)) | PTE_TEXT) & ~PTE_USED);

	pages[1][0] = 2;
	*page = 1; /* makes the processor set the accessed and the dirty bit */
	value = pv_pte_val(*entry);
	other = (value & ~PTE_ADDRESS) | PTE_OF(physical(pages[1]));

	pte = pv_make_pte(other);
	check_op(report, "make_pte", SHIM_MAKE_PTE, pte != other, report->hypervisor);
	check_op(report, "pte_val", SHIM_PTE_VAL, pv_pte_val(pte), other);
	pv_set_pte((unsigned long *)entry, pte);
	check_op(report, "set_pte", SHIM_SET_PTE, pv_pte_val(*entry), other);
	pv_flush_tlb();
	check_op(report, "flush_tlb", SHIM_FLUSH_TLB, *page, 2);

	pv_set_pte((unsigned long *)entry, pv_make_pte(value));
	pv_flush_tlb();
	check(report, "set_pte-back", *page, 1);
}

static void check_registers(struct report *report)
{
	unsigned long root = paging_root(), copy = ROOT_OF(physical(pages[0]));

	check_op(report, "read_root", SHIM_READ_ROOT, pv_read_root(), root);
	memcpy(pages[0], virtual(ROOT_TO(root)), PAGE_SIZE);
	paging_protect(pages[0], false);
	pv_write_root(copy);
	check_op(report, "write_root", SHIM_WRITE_ROOT, pv_read_root(), copy);
	pv_write_root(root);
	paging_protect(pages[0], true);
	write_fault(0x1234567);
	check_op(report, "read_fault", SHIM_READ_FAULT, pv_read_fault(), 0x1234567);
	pv_io_delay();
	check_op(report, "io_delay", SHIM_IO_DELAY, 0, 0);
}

void check_ops(struct report *report)
{
	check_irq(report);
	check_pte(report);
	check_registers(report);
}
