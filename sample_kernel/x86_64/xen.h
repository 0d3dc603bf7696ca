/* SPDX-License-Identifier: MIT */
/*
 * The kernel as a PV domain of Xen (xen/include/public): numbers of the interface, hypercalls from
 * C, and what x86_64/xen*.c have for the rest of the kernel. i386's xen.h has the same names,
 * without a Xen: it refuses 32-bit PV.
 */
#ifndef XEN_H
#define XEN_H

#include "x86.h"

#define XEN_MEMORY_OP 12
#define XEN_SET_TRAP_TABLE 0
#define XEN_MMU_UPDATE 1
#define XEN_SET_CALLBACKS 4
#define XEN_UPDATE_VA_MAPPING 14
#define XEN_XEN_VERSION 17
#define XEN_IRET 23
#define XEN_VCPU_OP 24
#define XEN_SET_SEGMENT_BASE 25
#define XEN_MMUEXT_OP 26
#define XEN_SCHED_OP 29
#define XEN_EVENT_CHANNEL_OP 32
#define XEN_PHYSDEV_OP 33

#define XEN_DOMID_SELF 0x7ff0

#define XEN_KERNEL_CS 0xe033
#define XEN_KERNEL_SS 0xe02b

#define XEN_SCHED_YIELD 0
#define XEN_SCHED_BLOCK 1
#define XEN_MMUEXT_PIN_L4 3
#define XEN_MMUEXT_UNPIN 4
#define XEN_MMUEXT_NEW_BASEPTR 5
#define XEN_MMUEXT_TLB_FLUSH_LOCAL 6

/* struct vcpu_info, at the base of gs: each processor has its own. */
#define XEN_PENDING 0
#define XEN_MASK 1 /* the kernel's interrupt flag, inverted */
#define XEN_CR2 16

/* What Xen adds to entries: the user bit, and a mark of its own. */
#define XEN_PTE_USER_BIT 2
#define XEN_PTE_GUEST_BIT 52

#define XEN_MACHINE_TO_PHYSICAL 0xffff800000000000

#ifdef __ASSEMBLER__
/* clang-format off */
	/* Continues at a function under Xen. Every register and the flags are live. */
	.macro under_xen other
	push %rcx
	movzbl xen_running, %ecx
	jrcxz 1f
	pop %rcx
	jmp \other
1:	pop %rcx
	.endm
/* clang-format on */
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xen_vcpu {
	uint8_t pending, mask;
	uint16_t padding;
	uint32_t padding2;
	uint64_t pending_words, cr2, padding3, time[4];
};

struct xen_trap {
	uint8_t vector, flags;
	uint16_t cs;
	uint64_t address;
};

struct xen_shared {
	uint8_t vcpus[2048];
	uint64_t pending[64], masked[64];
};

/* xen_start.S calls it before anything else, with Xen's start_info; returns the command line's
 * physical address. */
uint32_t xen_start_c(const void *start_info);
extern const char xen_traps[][16], xen_upcall[], xen_failsafe[];

/* xen.c */
extern bool xen_running; /* as a PV domain */
extern volatile struct xen_vcpu xen_vcpu;
extern volatile struct xen_shared *const xen_shared;
extern struct xen_trap xen_trap_table[VECTOR_IRQ + 1];
void xen_register(unsigned number, volatile struct xen_vcpu *vcpu); /* a processor's state, once */
void xen_allow_ports(void);					    /* for this processor */
void xen_load_traps(void);
void xen_write(void *to, const void *from, uint32_t size); /* to pages that are mapped read-only */

/* xen_paging.c */
unsigned long xen_machine_of(const void *address);
void xen_paging_start(const void *start_info);
void xen_paging_init(const void *root, const void *tables, unsigned long size);
void xen_map_writable(const void *page, bool writable);
void xen_writable(bool writable); /* all pages of the image that are mapped read-only */

/* xen_switch.c: switches to `chosen`'s sites and back, so often; NULL: what was linked. */
struct bp_backend;
bool xen_switch_test(uint32_t number, const struct bp_backend *chosen);

/* xen_smp.c: starts a second processor at a function that does not return; false if there is none.
 */
bool xen_smp_start(void (*run)(void));
_Noreturn void xen_smp_end(void); /* on that processor */

/* xen_pvh.c */
#define XEN_LEAF 0x40000000
#define XEN_VENDOR "XenVMMXenVMM" /* what cpuid says */
bool xen_pvh(void); /* whether the kernel is a PVH domain */
extern const struct timer xen_pvh_timer;

/* xen_timer.c */
extern const struct timer xen_timer;

static inline long xen_call(long number, unsigned long a, unsigned long b, unsigned long c,
			    unsigned long d)
{
	register unsigned long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "+a"(number), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
			 :
			 : "rcx", "r8", "r9", "r11", "memory", "cc");
	return number;
}

/* One that cannot fail. */
static inline void xen_must(long number, unsigned long a, unsigned long b, unsigned long c,
			    unsigned long d)
{
	if (xen_call(number, a, b, c, d) < 0)
		__asm__ volatile("ud2"); /* the trap, or Xen, says where */
}

#define XEN_TIMER_OR(other) (xen_running ? &xen_timer : xen_pvh() ? &xen_pvh_timer : (other))
#define XEN_CHOICE {"xen", &bp_paravirt_xen},
#endif

#endif
