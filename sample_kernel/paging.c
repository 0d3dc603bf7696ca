/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own page tables, made with pv ops: they map only the image, in 4 KiB pages; writable
 * pages are not executable, where there is a bit for it. The tables are in .bss, so they are mapped
 * with the image.
 */
#include "kernel.h"
#include "paravirt.h"
#include "xen.h"

typedef unsigned long page_table[1 << PAGING_INDEX];

enum { INDEX = (1 << PAGING_INDEX) - 1 };

static page_table root __attribute__((aligned(PAGE_SIZE)));
static page_table tables[6] __attribute__((aligned(PAGE_SIZE)));
static unsigned tables_used;

/* Rarely needed, and a separate function, so that plain lookups need not save registers for it. */
static __attribute__((noinline)) void add_table(unsigned long *entry)
{
	if (tables_used == sizeof(tables) / sizeof(tables[0]))
		panic("the image needs more page tables");
	pv_set_pte(entry, pv_make_pte(PTE_OF(physical(tables[tables_used++])) | PTE_TABLE));
}

static unsigned long *next_level(unsigned long *entry)
{
	if (!(*entry & PTE_PRESENT))
		add_table(entry);
	return virtual(PTE_TO(pv_pte_val(*entry)));
}

unsigned long *paging_entry(const void *address)
{
	unsigned long *table = root;

#pragma GCC unroll 4 /* whether an op in it is a call or not */
	for (unsigned shift = PAGING_TOP; shift > 12; shift -= PAGING_INDEX)
		table = next_level(&table[(uintptr_t)address >> shift & INDEX]);
	return &table[(uintptr_t)address >> 12 & INDEX];
}

static void map(const char *start, const char *end, unsigned long bits)
{
	for (; start < end; start += PAGE_SIZE)
		pv_set_pte(paging_entry(start), pv_make_pte(PTE_OF(physical(start)) | bits));
}

unsigned long paging_root(void)
{
	return ROOT_OF(physical(root));
}

void paging_protect(const void *page, bool writable)
{
	unsigned long bits = writable ? PTE_DATA : PTE_RODATA;

	pv_set_pte(paging_entry(page), pv_make_pte(PTE_OF(physical(page)) | bits));
	pv_flush_tlb();
}

void paging_init(void)
{
	/* Up to the next start, not to a section's own end: buildplug's tables are in between. */
	map(text_start, rodata_start, PTE_TEXT);
	map(rodata_start, data_start, PTE_RODATA);
	map(data_start, kernel_end, PTE_DATA);
#ifdef DEVICES
	static const unsigned long devices[] = DEVICES;

	for (unsigned i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		map(virtual(devices[i]), (char *)virtual(devices[i]) + PAGE_SIZE, PTE_DEVICE);
#endif

	paging_prepare();
	if (xen_running)
		xen_paging_init(root, tables, sizeof(tables));
	else
		pv_write_root(paging_root());
}
