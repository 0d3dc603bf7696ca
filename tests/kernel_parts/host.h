/* SPDX-License-Identifier: MIT */
/* What the small kernels share: lines on the console, a file of the host, checks, and an end with a backtrace. */
#include "bp_ksyms.h"
#include "bp_paravirt.h"
#include "buildplug.h"

#define NOINLINE __attribute__((noinline))

enum {
	SYS_OPEN = 1,
	SYS_CLOSE = 2,
	SYS_WRITE = 5,
	SYS_EXIT = 0x18,
	WRITE_BINARY = 5,
	APPLICATION_EXIT = 0x20026
};

extern const char kernel_start[], kernel_end[];
extern long tick(void);
extern bp_uintptr_t semihosting(bp_uintptr_t operation, const void *block);
extern void put(bp_uint8_t byte); /* on the console */

static void print(const char *text)
{
	while (*text)
		put((bp_uint8_t)*text++);
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
