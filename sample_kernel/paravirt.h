/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does by way of a backend. It calls them plainly; paravirt.toml tells
 * buildplug that references to these symbols are sites, and what each backend has in their place.
 */
#ifndef PARAVIRT_H
#define PARAVIRT_H

#include <stdint.h>

/* A page table entry between make_pte and set_pte belongs to the backend: only pte_val reads it. */
unsigned long pv_make_pte(unsigned long value);
unsigned long pv_pte_val(unsigned long pte);
void pv_set_pte(unsigned long *entry, unsigned long pte);

unsigned long pv_read_cr3(void);
void pv_write_cr3(unsigned long value);
void pv_flush_tlb(void);
void pv_irq_restore(unsigned long flags);

/* Entry code calls these with every register live: they change none but a returned rax. */
void pv_irq_enable(void);
void pv_irq_disable(void);
unsigned long pv_irq_save(void); /* the flags; disables nothing */
unsigned long pv_read_cr2(void);
void pv_io_delay(void);

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* The ops that are slots. sites.S and paravirt.toml know the offsets. */
struct pv_cpu_ops {
	struct cpuid (*cpuid)(uint32_t leaf, uint32_t subleaf);
	uint64_t (*rdmsr)(uint32_t msr);
	void (*wrmsr)(uint32_t msr, uint64_t value);
	void (*halt)(void); /* enables interrupts and waits for one */
};
extern struct pv_cpu_ops pv_cpu_ops;

/* What the slots hold before fixup; also what the shim stands on. */
struct cpuid native_cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t native_rdmsr(uint32_t msr);
void native_wrmsr(uint32_t msr, uint64_t value);
void native_halt(void);

#endif
