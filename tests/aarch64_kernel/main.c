/* SPDX-License-Identifier: MIT */
/*
 * Boots, calls every op as linked, redirects the sites to a backend, writes its memory to a file of
 * the host, calls every op again, goes back to the sites as linked, and ends with a backtrace.
 */
#include "bp_ksyms.h"
#include "bp_paravirt.h"
#include "buildplug.h"

#define NOINLINE __attribute__((noinline))
#define LIVE "x16", "x17", "x30", "memory"

enum {
	SYS_OPEN = 1,
	SYS_CLOSE = 2,
	SYS_WRITE = 5,
	SYS_EXIT = 0x18,
	WRITE_BINARY = 5,
	APPLICATION_EXIT = 0x20026
};
enum { PSCI_VERSION = 0x84000000, CALLS = 7 };

extern const char kernel_start[], kernel_end[];
extern long tick(void);
extern bp_uintptr_t semihosting(bp_uintptr_t operation, const void *block);

bp_uint32_t count;

static void print(const char *text)
{
	while (*text)
		*(volatile bp_uint32_t *)0x9000000 =
		    (bp_uint8_t)*text++; /* PL011's data register */
}

static void print_call(const char *line)
{
	print("  ");
	print(line);
	print("\n");
}

static _Noreturn void end(bp_uintptr_t code)
{
	bp_uintptr_t block[] = {APPLICATION_EXIT, code};

	semihosting(SYS_EXIT, block);
	for (;;)
		;
}

static _Noreturn void backtrace(const char *why, const void *frame, bp_uintptr_t code)
{
	print(why);
	print("\n");
	bp_ksyms_backtrace(&bp_ksyms, frame, kernel_start, kernel_end, print_call);
	end(code);
}

_Noreturn void trapped(const void *frame)
{
	backtrace("trap", frame, 2);
}

static void expect(int right, const char *what)
{
	if (!right)
		backtrace(what, __builtin_frame_address(0), 1);
}

/* Writes the image to a file, as it is. */
static void dump(void)
{
	static const char name[] = "memory.bin";
	bp_uintptr_t open[] = {(bp_uintptr_t)name, WRITE_BINARY, sizeof(name) - 1};
	bp_uintptr_t file = semihosting(SYS_OPEN, open);
	bp_uintptr_t write[] = {file, (bp_uintptr_t)kernel_start, kernel_end - kernel_start};

	expect(file != (bp_uintptr_t)-1, "no file");
	expect(!semihosting(SYS_WRITE, write), "not written");
	semihosting(SYS_CLOSE, &file);
}

static inline bp_uintptr_t irq_save(void)
{
	register bp_uintptr_t flags __asm__("x0");

	__asm__ volatile(BP_CALL_8("pv_irq_save") : "=r"(flags) : : LIVE);
	return flags;
}

static inline void irq_restore(bp_uintptr_t given)
{
	register bp_uintptr_t flags __asm__("x0") = given;

	__asm__ volatile("bl pv_irq_restore" : : "r"(flags) : LIVE);
}

static bp_uintptr_t daif(void)
{
	bp_uintptr_t flags;

	__asm__ volatile("mrs %0, daif" : "=r"(flags));
	return flags;
}

extern long pv_psci(bp_uintptr_t function);

void smc_irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

long smc_tick(void)
{
	return 3;
}

/* Calls every op once; returns what PSCI says, and checks what the others do. */
static NOINLINE long call_all(long tick_of_backend)
{
	register long ticks __asm__("x0");
	bp_uintptr_t flags;

	__asm__ volatile("bl pv_irq_enable" : : : LIVE);
	expect(!(daif() & 0x80), "interrupts are off");
	flags = irq_save();
	expect((daif() & 0x80) && !(flags & 0x80), "interrupts are on");
	irq_restore(flags);
	expect(!(daif() & 0x80), "interrupts were not restored");
	__asm__ volatile("bl pv_irq_disable" : : : LIVE);
	expect(daif() & 0x80, "interrupts were not disabled");
	__asm__ volatile(BP_CALL_16("pv_flush") : : : LIVE);
	expect(tick() == tick_of_backend, "the slot has another function");
	__asm__ volatile(BP_SLOT_CALL("pv_ops")
			 : "=r"(ticks)
			 :
			 : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
			   "x12", "x13", "x14", "x15", "x18", "cc", LIVE);
	expect(ticks == tick_of_backend, "the slot has another function in C");
	return pv_psci(PSCI_VERSION);
}

static NOINLINE void deeper(void)
{
	*(volatile bp_uint8_t *)-1ul = 0; /* no memory there */
	__asm__ volatile("");
}

static NOINLINE void deep(void)
{
	deeper();
	__asm__ volatile("");
}

_Noreturn void main(void)
{
	const struct bp_backend *backend = &bp_paravirt_hvc;
	struct bp_status status;
	bp_uintptr_t level;

	__asm__("mrs %0, CurrentEL" : "=r"(level));
	if (level >> 2 == 2)
		backend = &bp_paravirt_smc;
	status = bp_fixup(&bp_paravirt, backend, kernel_start, kernel_end, bp_write, 0);
	if (status.error)
		print_call(bp_error(status.error));
	expect(!status.error, "no fixup");
	dump();
	expect(call_all(level >> 2 == 2 ? 3 : 2) >= 2, "no PSCI");
	expect(count == 0, "a default was called");
	status = bp_switch(&bp_paravirt, backend, 0, kernel_start, kernel_end, bp_write, 0);
	expect(!status.error, "no way back");
	expect(call_all(1) == -1 && count == CALLS, "a default was not called");
	print(level >> 2 == 2 ? "smc: all ops\n" : "hvc: all ops\n");
	deep();
	end(3);
}
