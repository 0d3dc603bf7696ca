/* SPDX-License-Identifier: MIT */
/* Backtraces by frame pointers (-fno-omit-frame-pointer), with names from the table of
 * symbols. */
#include "bp_ksyms.h"
#include "kernel.h"

enum { DEEPEST = 16, LINE = 120 };

/* What a function saves on the stack: the caller's frame and the return address. */
struct caller {
	const struct caller *next;
	unsigned long from;
};

static void print_address(unsigned long address)
{
	char line[LINE];

	bp_ksyms_print(&bp_ksyms, address, line, sizeof(line));
	print("  %s\n", line);
}

void backtrace(unsigned long ip, unsigned long bp)
{
	const struct caller *caller = (const void *)bp;

	if (bp_ksyms_check(&bp_ksyms, (uintptr_t)kernel_end - (uintptr_t)&bp_ksyms)) {
		print("no backtrace: no table of symbols\n");
		return;
	}
	print("backtrace:\n");
	print_address(ip);
	for (unsigned i = 0; i < DEEPEST; i++, caller = caller->next) {
		uintptr_t at = (uintptr_t)caller;

		if (at < (uintptr_t)kernel_start || at > (uintptr_t)kernel_end - sizeof(*caller) ||
		    at % sizeof(unsigned long) || !caller->from)
			break;
		print_address(caller->from - 1); /* in the call: after it may be another function */
	}
}
