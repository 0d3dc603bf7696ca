/* SPDX-License-Identifier: MIT */
/*
 * Facts of the processor and the PC: bits of registers and page tables, ports, and instructions
 * that C lacks; what differs by architecture is in arch.h. The instructions are the real ones: code
 * that a backend may replace calls a pv op instead.
 */
#ifndef X86_H
#define X86_H

#include "arch.h"

#define PAGE_SIZE 4096

#define CR0_PE (1 << 0)
#define CR0_WP (1 << 16)
#define CR0_PG (1 << 31)
#define CR4_PSE (1 << 4)
#define CR4_PAE (1 << 5)

#define FLAGS_IF_BIT 9
#define FLAGS_IF (1 << FLAGS_IF_BIT)
#define FLAGS_ARITHMETIC 0x8d5 /* CF PF AF ZF SF OF */

#define MSR_SYSENTER_EIP 0x176
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define PTE_PRESENT 0x1
#define PTE_WRITE 0x2
#define PTE_UNCACHED 0x10
#define PTE_ACCESSED 0x20
#define PTE_LARGE 0x80

#define FAULT_PRESENT 0x1
#define FAULT_WRITE 0x2
#define FAULT_FETCH 0x10

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define KERNEL_TSS 0x18

/* The accessed bit is set already, as in DESCRIPTOR_CODE: the processor must not write to
 * descriptors in .rodata. */
#define DESCRIPTOR_DATA 0x00cf93000000ffff

#define VECTOR_BREAKPOINT 3
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PROTECTION 13
#define VECTOR_PAGE_FAULT 14
#define VECTOR_IRQ 32
#define VECTOR_LOCAL_TIMER 45
#define VECTOR_SPURIOUS 46
#define VECTOR_SUMMONS 47
#define VECTORS 48

/* The vectors for which the processor pushes an error code: 8, 10 to 14, 17, 21, 29, 30. */
#define WITH_ERROR 0x60227d00

#ifndef __ASSEMBLER__
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline unsigned long read_flags(void)
{
	unsigned long flags;

	__asm__ volatile("pushf; pop %0" : "=r"(flags) : : "memory");
	return flags;
}

static inline void write_flags(unsigned long flags)
{
	__asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc");
}

static inline unsigned long read_cr0(void)
{
	unsigned long value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value) : : "memory");
	return value;
}

static inline void write_cr0(unsigned long value)
{
	__asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline void write_cr2(unsigned long value)
{
	__asm__ volatile("mov %0, %%cr2" : : "r"(value) : "memory");
}

static inline unsigned long read_cr3(void)
{
	unsigned long value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value) : : "memory");
	return value;
}

static inline void write_cr3(unsigned long value)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline unsigned long read_cr2(void)
{
	unsigned long value;

	__asm__ volatile("mov %%cr2, %0" : "=r"(value) : : "memory");
	return value;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline unsigned long physical(const void *address)
{
	return (uintptr_t)address - KERNEL_BASE;
}

static inline void *virtual(unsigned long address)
{
	return (void *)(address + KERNEL_BASE);
}
#endif

#endif
