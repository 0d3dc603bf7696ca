/* SPDX-License-Identifier: MIT */
/*
 * The second processor of a PV domain: Xen starts it with the state that the first one gives, so it
 * needs no startup code.
 */
#include "smp.h"
#include "xen.h"

enum { SECOND = 1, INITIALISE = 0, UP = 1, DOWN = 2 };
enum { IN_KERNEL = 1 << 2 };

/* struct vcpu_guest_context (xen/include/public/arch-x86/xen.h). */
static struct {
	uint8_t fpu[512];
	uint64_t flags;
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t error, rip, cs, rflags, rsp, ss, es, ds, fs, gs;
	struct xen_trap traps[256]; /* by vector */
	uint64_t ldt[2], gdt_pages[16], gdt_entries;
	uint64_t kernel_ss, kernel_sp, control[8], debug[8];
	uint64_t upcall, failsafe, system_call, assist;
	uint64_t fs_base, gs_base_kernel, gs_base_user;
} context;

_Static_assert(sizeof(context) == 5168, "as Xen's");

static volatile struct xen_vcpu vcpu __attribute__((aligned(64)));

bool xen_smp_start(void (*run)(void))
{
	context.flags = IN_KERNEL;
	context.rip = (uintptr_t)run;
	context.cs = XEN_KERNEL_CS;
	context.ss = context.kernel_ss = XEN_KERNEL_SS;
	context.rsp = context.kernel_sp =
	    (uintptr_t)(ap_stack + AP_STACK - WORD_SIZE); /* as called */
	memcpy(context.traps, xen_trap_table, sizeof(xen_trap_table));
	context.control[3] = xen_machine_of(virtual(paging_root()));
	context.upcall = (uintptr_t)xen_upcall;
	context.failsafe = (uintptr_t)xen_failsafe;
	context.gs_base_kernel = (uintptr_t)&vcpu;
	if (xen_call(XEN_VCPU_OP, INITIALISE, SECOND, (uintptr_t)&context, 0))
		return false;
	xen_register(SECOND, &vcpu);
	vcpu.pending = vcpu.pending_words = 0; /* it has no events */
	vcpu.mask = 1;
	xen_must(XEN_VCPU_OP, UP, SECOND, 0, 0);
	return true;
}

_Noreturn void xen_smp_end(void)
{
	xen_must(XEN_VCPU_OP, DOWN, SECOND, 0, 0);
	__builtin_unreachable();
}
