/* SPDX-License-Identifier: MIT */
/* Checks that every kind of site goes to the backend: each function of sites.S acts as its op. */
#include "buildplug.h"
#include "check.h"
#include "paravirt.h"
#include "shim.h"
#include "sites.h"

static void check_jumps(struct report *report)
{
	unsigned long on = KERNEL_IF | PROCESSOR_IF, off = report->irq_off;

	pv_irq_enable();
	check_op(report, "site-tail", SHIM_IRQ_SAVE, flags_are_on(site_tail()), true);
	site_tail_long();
	check_op(report, "site-tail-long", SHIM_FLUSH_TLB, 0, 0);
	check_op(report, "site-tail-nothing", SHIM_IO_DELAY, site_tail_nothing(), 42);

	site_jb(10);
	check(report, "site-jb-not-taken", irq_state(), on);
	site_jb(9);
	check(report, "site-jb-taken", irq_state(), off);
	site_jnz(0);
	check(report, "site-jnz-not-taken", irq_state(), off);
	site_jnz(1);
	check(report, "site-jnz-taken", irq_state(), on);
	check_op(report, "site-jz-nothing-taken", SHIM_IO_DELAY, site_jz_nothing(0), 42);
	check(report, "site-jz-nothing-not-taken", site_jz_nothing(1), 43);
}

/* Calls with padding: the shim's code is inline. */
static void check_rooms(struct report *report)
{
	IRQ_CALL("pv_irq_disable");
	check(report, "site-room-irq_disable", irq_state(), report->irq_off);
	IRQ_CALL("pv_irq_enable");
	check(report, "site-room-irq_enable", irq_state(), KERNEL_IF | PROCESSOR_IF);
}

static void check_addresses(struct report *report)
{
	unsigned long pte;

	check_op(report, "site-address-read_root", SHIM_READ_ROOT, site_address_root(),
		 paging_root());
	pte = site_address_make(0x1003);
	check_op(report, "site-address-make_pte", SHIM_MAKE_PTE, pte != 0x1003, report->hypervisor);
	check_op(report, "site-address-pte_val", SHIM_PTE_VAL, site_address_val(pte), 0x1003);
	write_fault(0x89abcde);
	check_op(report, "site-address-read_fault", SHIM_READ_FAULT, site_address_fault(),
		 0x89abcde);
}

static void check_pointers(struct report *report)
{
	site_pointers[1]();
	check(report, "site-pointer-irq_disable", irq_state(), report->irq_off);
	site_pointers[0]();
	check(report, "site-pointer-irq_enable", irq_state(), KERNEL_IF | PROCESSOR_IF);
	site_pointers[2]();
	check_op(report, "site-pointer-io_delay", SHIM_IO_DELAY, 0, 0);
	check_op(report, "site-pointer-read_root", SHIM_READ_ROOT, site_pointers_data[0](),
		 paging_root());
	check_op(report, "site-pointer-irq_save", SHIM_IRQ_SAVE,
		 flags_are_on(site_pointers_data[1]()), true);
}

void check_sites(struct report *report)
{
	check_jumps(report);
	check_rooms(report);
	check_addresses(report);
	check_pointers(report);
}
