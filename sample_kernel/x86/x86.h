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
#define FLAGS_OFF 0	       /* for pv_irq_restore */
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

/* What pages of the kernel and tables are mapped as; what the processor itself sets. */
#define PTE_TEXT PTE_PRESENT
#define PTE_RODATA (PTE_PRESENT | PTE_NX)
#define PTE_DATA (PTE_PRESENT | PTE_WRITE | PTE_NX)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE)
#define PTE_USED 0x60ul
#define PTE_OF(physical) (physical) /* the part that is an address */
#define PTE_TO(pte) ((pte)&PTE_ADDRESS)
#define ROOT_OF(physical) (physical) /* cr3 for a table */
#define ROOT_TO(root) (root)

#define FAULT_PRESENT 0x1
#define FAULT_WRITE 0x2
#define FAULT_FETCH 0x10
/* The error codes of writes to pages that are not mapped and read-only, and of fetches of data. */
#define ERROR_WRITE_HOLE FAULT_WRITE
#define ERROR_WRITE_READ_ONLY (FAULT_PRESENT | FAULT_WRITE)
#define ERROR_EXECUTE_DATA (FAULT_PRESENT | FAULT_FETCH)
#define EXECUTE_PROTECTED !!PTE_NX /* whether pages of data cannot be executed */

/* Ops that the shim counts, besides those of shim.h. */
#define SHIM_CPUID 11
#define SHIM_RDMSR 12
#define SHIM_WRMSR 13
#define SHIM_OPS 14

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

#define RETURN_CODE                                                                                \
	{                                                                                          \
		0xc3                                                                               \
	}
#define CALL_LENGTH 5
void __fentry__(void);	      /* trace.S */
#define ENTRY_HOOK __fentry__ /* what every function first calls */
#define BREAKPOINT "int3"
#define PAUSE "pause"

/* Of struct frame: where it came from; of a page fault: the address, and the error code. */
#define FRAME_PC(frame) ((frame)->ip)
#define FRAME_FP(frame) ((frame)->bp)
#define FRAME_FAULT(frame) ((frame)->cr2)
#define FRAME_VECTOR(frame) ((frame)->vector)
#define FRAME_ERROR(frame) ((frame)->error)
#define CALLERS_FRAME(frame) (*(unsigned long *)(frame))
#define IS_PAGE_FAULT(frame) ((frame)->vector == VECTOR_PAGE_FAULT)

#define IST_DOUBLE_FAULT 1 /* segments.c has its stack */

/* entry_stubs.S, interrupts.c: a gate keeps interrupts off. */
extern const char entry_stubs[VECTORS][16];
void interrupts_gate(unsigned vector, const char *entry);

/* Only Xen's backend is chosen by more than its name; its own header has it. */
#define OTHER_CHOICES
#define DEFAULT_BACKEND "native"
#define BARE_BACKEND bp_paravirt_native /* a backend for this machine that is not the shim */
#define OTHER_CHECKS check_retpolines,

/* QEMU's isa-debug-exit device ends it with twice the value, plus 1. */
#define DEBUG_EXIT_PORT 0xf4

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

/* Whether interrupts are on by what pv_irq_save returned. */
static inline int flags_are_on(unsigned long flags)
{
	return !!(flags & FLAGS_IF);
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

/* The processor's interrupt flag. */
static inline void flags_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void flags_off(void)
{
	__asm__ volatile("cli" : : : "memory");
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

static inline void write_fault(unsigned long address)
{
	write_cr2(address);
}

static inline unsigned long read_root(void)
{
	return read_cr3();
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

static inline void copy_bytes(void *to, const void *from, unsigned long size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static inline void set_bytes(void *to, int byte, unsigned long size)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
}

/* Ends QEMU; returns if it has no such device. */
static inline void end_machine(unsigned status)
{
	outb(DEBUG_EXIT_PORT, status >> 1);
}

/* Where the branch of `length` bytes at `site` leads; makes it lead elsewhere. */
static inline uintptr_t branch_target(uintptr_t site, unsigned length)
{
	return site + length + *(const int32_t *)(site + length - 4);
}

static inline void branch_lead(uintptr_t site, unsigned length, uintptr_t target,
			       void (*write)(void *, void *, const void *, uint32_t))
{
	int32_t distance = target - (site + length);

	write(0, (void *)(site + length - 4), &distance, sizeof(distance));
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
