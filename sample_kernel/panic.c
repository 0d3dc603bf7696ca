/* SPDX-License-Identifier: MIT */
/* The ends: by QEMU's isa-debug-exit device, with a status that says how it went. */
#include "kernel.h"

enum { DEBUG_EXIT = 0xf4, GOOD = 0x10, BAD = 0x11 };

_Noreturn void finish(bool good)
{
	outb(DEBUG_EXIT, good ? GOOD : BAD);
	/* No such device, then. The pv op is no use here: it would wait with interrupts on. */
	for (;;)
		__asm__ volatile("cli; hlt");
}

_Noreturn void panic(const char *text)
{
	print("panic: %s\n", text);
	backtrace((uintptr_t)__builtin_return_address(0) - 1,
		  *(uint64_t *)__builtin_frame_address(0));
	finish(false);
}

_Noreturn void panic_trap(const struct frame *f)
{
	print("exception %lu, error %lx, at %lx, cr2 %lx\n", f->vector, f->error, f->rip, f->cr2);
	print("cs %lx ss %lx flags %lx irq %lx\n", f->cs, f->ss, f->flags, f->irq);
	print("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	print("rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", f->rsi, f->rdi, f->rbp, f->rsp);
	print("r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", f->r8, f->r9, f->r10, f->r11);
	print("r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", f->r12, f->r13, f->r14, f->r15);
	print("panic: unexpected exception\n");
	backtrace(f->rip, f->rbp);
	finish(false);
}
