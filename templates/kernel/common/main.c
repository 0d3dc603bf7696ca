/* SPDX-License-Identifier: MIT */
/* Where the kernel starts, called by boot.S. Replace what is here by a kernel of your own. */
#include "kernel.h"

unsigned disks; /* that were found */

/* noinline: so that each function is a line of the backtrace. */
static __attribute__((noinline)) void find_disk(void)
{
	if (!disks)
		panic("no disk");
	print_line("found a disk");
}

static __attribute__((noinline)) void start_drivers(void)
{
	print_line("starting drivers");
	find_disk();
	print_line("started drivers");
}

void main(void);

void main(void)
{
	print_line("hello");
	start_drivers();
	stop();
}
