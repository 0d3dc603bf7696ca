/* SPDX-License-Identifier: MIT */
/* The end, with a backtrace by frame pointers: compile everything with -fno-omit-frame-pointer. */
#include "bp_ksyms.h"
#include "kernel.h"

static void print_call(const char *line)
{
	print("  ");
	print_line(line);
}

_Noreturn void panic(const char *why)
{
	print("panic: ");
	print_line(why);
	if (bp_ksyms_check(&bp_ksyms, (bp_uintptr_t)kernel_end - (bp_uintptr_t)&bp_ksyms))
		print_line("the table of symbols is damaged: addresses only");
	bp_ksyms_backtrace(&bp_ksyms, __builtin_frame_address(0), kernel_start, kernel_end, print_call);
	stop();
}
