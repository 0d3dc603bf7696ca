/* SPDX-License-Identifier: MIT */
/*
 * What paging needs under Xen: the domain starts on page tables of Xen's making, and a table must
 * be mapped read-only everywhere. The lists of machine pages lie behind the image there; here they
 * get addresses of their own.
 */
#include "kernel.h"
#include "paravirt.h"
#include "xen.h"

#define MACHINE_PAGES ((char *)KERNEL_BASE + 0x20000000)
#define READ_ONLY (PTE_PRESENT | PTE_NX)

enum { FLUSH = 2 }; /* of update_va_mapping: this address, on this processor */

extern unsigned long xen_pages, xen_root;
extern const unsigned long *xen_machine_pages;

static unsigned long shared_at; /* the machine address of Xen's page */
static bool own;		/* whether the kernel's own tables are in use */
static char shared_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
volatile struct xen_shared *const xen_shared = (volatile struct xen_shared *)shared_page;

/* These do without ops, as xen_write() is called while sites change. */
unsigned long xen_machine_of(const void *address)
{
	return xen_machine_pages[physical(address) / PAGE_SIZE] * PAGE_SIZE;
}

static void map(const void *page, unsigned long entry)
{
	xen_must(XEN_UPDATE_VA_MAPPING, (uintptr_t)page, entry, FLUSH, 0);
}

void xen_paging_start(const void *start_info)
{
	shared_at = ((const uint64_t *)start_info)[5];
	map(shared_page, shared_at | PTE_PRESENT | PTE_WRITE);
}

void xen_map_writable(const void *page, bool writable)
{
	unsigned long bits = (const char *)page < rodata_start ? PTE_PRESENT : READ_ONLY;

	if (own && (const char *)page < data_start)
		map(page, xen_machine_of(page) | bits | (writable ? PTE_WRITE : 0));
}

void xen_writable(bool writable)
{
	for (const char *page = text_start; page < data_start; page += PAGE_SIZE)
		xen_map_writable(page, writable);
}

/* In both trees: a table is refused while any of them has a writable mapping of it. */
static void protect(const char *table)
{
	pv_set_pte(paging_entry(table), pv_make_pte(physical(table) | READ_ONLY));
	map(table, xen_machine_of(table) | PTE_PRESENT);
}

static void mmuext(uint32_t command, const void *table)
{
	struct {
		uint64_t command, page, unused;
	} operation = {command, xen_machine_of(table) / PAGE_SIZE, 0};

	xen_must(XEN_MMUEXT_OP, (uintptr_t)&operation, 1, 0, XEN_DOMID_SELF);
}

void xen_paging_init(const void *root, const void *tables, unsigned long size)
{
	const void *before = virtual(xen_root);
	const char *pages = (const char *)xen_machine_pages;

	pv_set_pte(paging_entry(shared_page), shared_at | PTE_PRESENT | PTE_WRITE | PTE_NX);
	for (unsigned long at = 0; at < xen_pages * sizeof(*xen_machine_pages); at += PAGE_SIZE)
		pv_set_pte(paging_entry(MACHINE_PAGES + at),
			   pv_make_pte(physical(pages + at) | READ_ONLY));
	protect(root);
	for (unsigned long at = 0; at < size; at += PAGE_SIZE)
		protect((const char *)tables + at);
	mmuext(XEN_MMUEXT_PIN_L4, root);
	pv_write_cr3(physical(root));
	xen_machine_pages = (const unsigned long *)MACHINE_PAGES;
	own = true;
	mmuext(XEN_MMUEXT_UNPIN, before);
}
