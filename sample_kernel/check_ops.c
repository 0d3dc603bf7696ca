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
	check_op(report, "irq_save", SHIM_IRQ_SAVE, flags & FLAGS_IF, FLAGS_IF);
	pv_irq_disable();
	check(report, "irq_disable", irq_state(), off);
	pv_irq_restore(flags);
	check_op(report, "irq_restore", SHIM_IRQ_RESTORE, irq_state(), on);
	pv_irq_restore(0);
	check_op(report, "irq_restore-off", SHIM_IRQ_RESTORE, irq_state(), off);
}

static void check_pte(struct report *report)
{
	volatile unsigned long *entry = paging_entry(pages[0]);
	volatile char *page = pages[0];
	unsigned long value, other, pte;

	/* Stored by paging.c. Bits 5, 6: accessed, dirty. */
	check(report, "paging", pv_pte_val(*paging_entry(text_start)) & ~0x60ul,
	      physical(text_start) | PTE_PRESENT);

	pages[1][0] = 2;
	*page = 1; /* makes the processor set the accessed and the dirty bit */
	value = pv_pte_val(*entry);
	other = (value & ~PTE_ADDRESS) | physical(pages[1]);

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
	unsigned long root = paging_root();

	check_op(report, "read_cr3", SHIM_READ_CR3, pv_read_cr3(), root);
	memcpy(pages[0], virtual(root), PAGE_SIZE);
	paging_protect(pages[0], false);
	pv_write_cr3(physical(pages[0]));
	check_op(report, "write_cr3", SHIM_WRITE_CR3, pv_read_cr3(), physical(pages[0]));
	pv_write_cr3(root);
	paging_protect(pages[0], true);
	write_cr2(0x1234567);
	check_op(report, "read_cr2", SHIM_READ_CR2, pv_read_cr2(), 0x1234567);
}

static void check_cpu(struct report *report)
{
	struct cpuid id = pv_cpuid(SHIM_LEAF, 0);

	check_op(report, "cpuid", SHIM_CPUID, !memcmp(&id.ebx, report->vendor, 12),
		 report->hypervisor);
	check_op(report, "rdmsr", SHIM_RDMSR, pv_rdmsr(MSR_EFER), rdmsr(MSR_EFER));
	pv_wrmsr(MSR_SCRATCH, KERNEL_BASE);
	check_op(report, "wrmsr", SHIM_WRMSR, rdmsr(MSR_SCRATCH), KERNEL_BASE);
	pv_io_delay();
	check_op(report, "io_delay", SHIM_IO_DELAY, 0, 0);
}

void check_ops(struct report *report)
{
	check_irq(report);
	check_pte(report);
	check_registers(report);
	check_cpu(report);
}
