/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own page tables, made with pv ops: the image and nothing else, in 4 KiB pages; what
 * can be written cannot be executed. Table pages lie in .bss, so they are mapped where the image
 * is.
 */
#include "kernel.h"
#include "paravirt.h"

typedef uint64_t page_table[PAGE_SIZE / 8];

static page_table root __attribute__((aligned(PAGE_SIZE)));
static page_table tables[4] __attribute__((aligned(PAGE_SIZE)));
static unsigned tables_used;

static uint64_t *next_level(uint64_t *entry)
{
	if (!(*entry & PTE_PRESENT)) {
		if (tables_used == sizeof(tables) / sizeof(tables[0]))
			panic("the image needs more page tables");
		pv_set_pte(entry,
			   pv_make_pte(physical(tables[tables_used++]) | PTE_PRESENT | PTE_WRITE));
	}
	return virtual(*entry & PTE_ADDRESS);
}

uint64_t *paging_entry(const void *address)
{
	uint64_t *table = root;

	for (unsigned shift = 39; shift > 12; shift -= 9)
		table = next_level(&table[(uintptr_t)address >> shift & 511]);
	return &table[(uintptr_t)address >> 12 & 511];
}

static void map(const char *start, const char *end, uint64_t bits)
{
	for (; start < end; start += PAGE_SIZE)
		pv_set_pte(paging_entry(start), pv_make_pte(physical(start) | bits));
}

void paging_init(void)
{
	uint64_t efer = pv_cpu_ops.rdmsr(MSR_EFER);

	/* Up to the next start, not to a section's own end: buildplug's table lies in between. */
	map(text_start, rodata_start, PTE_PRESENT);
	map(rodata_start, data_start, PTE_PRESENT | PTE_NX);
	map(data_start, kernel_end, PTE_PRESENT | PTE_WRITE | PTE_NX);

	pv_cpu_ops.wrmsr(MSR_EFER, efer | EFER_NXE);
	write_cr0(read_cr0() | CR0_WP);
	pv_write_cr3(physical(root));
}
