/* SPDX-License-Identifier: MIT */
/* Backtraces by frame pointers (-fno-omit-frame-pointer), with names from the table of
 * symbols. */
#include "bp_ksyms.h"
#include "kernel.h"

static void print_line(const char *line)
{
	print("  %s\n", line);
}

void backtrace(unsigned long ip, unsigned long bp)
{
	char line[BP_KSYMS_LINE];

	if (bp_ksyms_check(&bp_ksyms, (uintptr_t)kernel_end - (uintptr_t)&bp_ksyms)) {
		print("no backtrace: no table of symbols\n");
		return;
	}
	print("backtrace:\n");
	bp_ksyms_print(&bp_ksyms, ip, line, sizeof(line));
	print_line(line);
	bp_ksyms_backtrace(&bp_ksyms, (const void *)bp, kernel_start, kernel_end, print_line);
}
