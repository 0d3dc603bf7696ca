/* SPDX-License-Identifier: MIT */
/* A panic that prints its callers: as addresses, and with names once the kernel has a table of its
 * symbols. */
#include "kernel.h"
#if __has_include("bp_ksyms.h")
#include "bp_ksyms.h"

static void print_symbol(uintptr_t address)
{
	static int state; /* 0: not tried, 1: good, 2: damaged */
	char line[128];

	if (!state)
		state = bp_ksyms_check(&bp_ksyms, 1 << 20) ? 2 : 1;
	if (state == 1) {
		bp_ksyms_print_return(&bp_ksyms, address, line, sizeof(line));
		print(" ");
		print(line);
	}
}
#else
void print_own_symbol(uintptr_t address) __attribute__((weak));

static void print_symbol(uintptr_t address)
{
	if (print_own_symbol)
		print_own_symbol(address);
}
#endif

void print_address(uintptr_t address)
{
	char digits[] = "0x0000000000000000";

	for (int at = 17; at > 1; at--, address >>= 4)
		digits[at] = "0123456789abcdef"[address & 15];
	print(digits);
}

void panic(const char *text)
{
	print(text);
	print("\n");
	for (uintptr_t *frame = __builtin_frame_address(0); frame; frame = (uintptr_t *)*frame) {
		print_address(frame[1]);
		print_symbol(frame[1]);
		print("\n");
	}
	halt();
}
