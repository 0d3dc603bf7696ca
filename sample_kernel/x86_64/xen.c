/* SPDX-License-Identifier: MIT */
/* The start of the kernel as a PV domain of Xen: its state, traps, and writes to read-only pages.
 */
#include "xen.h"
#include "kernel.h"

enum { GS_KERNEL = 2, VCPU_REGISTER_INFO = 10, PORTS_ALLOWED = 7, PORTS = 0x400 };

/* struct start_info, as far as it is used. */
struct start_info {
	char magic[32];
	uint64_t pages, shared, flags, store, store_event, console, console_event, root;
	uint64_t root_tables, machine_pages, module, module_size;
	char command_line[1024];
};

bool xen_running;
volatile struct xen_vcpu xen_vcpu __attribute__((aligned(64)));
unsigned long xen_pages, xen_machine_end, xen_root;
const unsigned long *xen_machine_pages;
static uint8_t ports[PORTS / 8]; /* 0: the domain may use the port; Xen executes the instruction */
struct xen_trap xen_trap_table[VECTOR_IRQ + 1];

void xen_register(unsigned number, volatile struct xen_vcpu *vcpu)
{
	struct {
		uint64_t page;
		uint32_t offset, padding;
	} place = {.offset = (uintptr_t)vcpu % PAGE_SIZE};

	place.page = xen_machine_of((const void *)vcpu) / PAGE_SIZE;
	xen_must(XEN_VCPU_OP, VCPU_REGISTER_INFO, number, (uintptr_t)&place, 0);
}

void xen_allow_ports(void)
{
	struct {
		const uint8_t *allowed;
		uint32_t ports;
	} access = {ports, PORTS};

	xen_must(XEN_PHYSDEV_OP, PORTS_ALLOWED, (uintptr_t)&access, 0, 0);
}

uint32_t xen_start_c(const void *from)
{
	const struct start_info *info = from;

	xen_running = true;
	xen_pages = info->pages;
	xen_machine_pages = (const unsigned long *)info->machine_pages;
	xen_root = physical((const void *)info->root);
	xen_machine_end = xen_call(XEN_MEMORY_OP, 2, 0, 0, 0); /* maximum_ram_page */
	xen_register(0, &xen_vcpu);
	xen_must(XEN_SET_SEGMENT_BASE, GS_KERNEL, (uintptr_t)&xen_vcpu, 0, 0);
	xen_allow_ports();
	xen_load_traps();
	xen_paging_start(info);
	return physical(info->command_line);
}

void xen_load_traps(void)
{
	for (unsigned i = 0; i < VECTOR_IRQ; i++)
		xen_trap_table[i] = (struct xen_trap){i, 0, XEN_KERNEL_CS, (uintptr_t)xen_traps[i]};
	xen_must(XEN_SET_TRAP_TABLE, (uintptr_t)xen_trap_table, 0, 0, 0);
	xen_must(XEN_SET_CALLBACKS, (uintptr_t)xen_upcall, (uintptr_t)xen_failsafe, 0, 0);
}

void xen_write(void *to, const void *from, uint32_t size)
{
	uint8_t mask = xen_vcpu.mask;
	const char *first = (const char *)((uintptr_t)to & -PAGE_SIZE);

	xen_vcpu.mask = 1;
	for (const char *page = first; page < (const char *)to + size; page += PAGE_SIZE)
		xen_map_writable(page, true);
	memcpy(to, from, size);
	for (const char *page = first; page < (const char *)to + size; page += PAGE_SIZE)
		xen_map_writable(page, false);
	xen_vcpu.mask = mask;
	if (!mask && xen_vcpu.pending)
		xen_must(XEN_XEN_VERSION, 0, 0, 0, 0);
}
