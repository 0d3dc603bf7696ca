/* SPDX-License-Identifier: MIT */
/*
 * The GDT and the task state segment, which provides the double fault's own stack. Both are in
 * .bss, as loading the task register writes to its descriptor.
 */
#include "kernel.h"
#include "paravirt.h"
#include "xen.h"

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, io_map;
} __attribute__((packed));

static uint64_t gdt[5];
static struct tss tss;
static char double_fault_stack[PAGE_SIZE] __attribute__((aligned(16)));

void pv_load_segments(void)
{
	uint64_t base = (uintptr_t)&tss;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(gdt) - 1, (uintptr_t)gdt};

	if (xen_running)
		return;
	tss.ist[IST_DOUBLE_FAULT - 1] = (uintptr_t)(double_fault_stack + PAGE_SIZE);
	tss.io_map = sizeof(tss);
	gdt[KERNEL_CS / 8] = DESCRIPTOR_CODE;
	gdt[KERNEL_DS / 8] = DESCRIPTOR_DATA;
	gdt[KERNEL_TSS / 8] =
	    (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
	gdt[KERNEL_TSS / 8 + 1] = base >> 32;
	/* The boot GDT has the same selectors: only the task register must be loaded. */
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(pointer), "r"(KERNEL_TSS) : "memory");
}
