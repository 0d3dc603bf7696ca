/* SPDX-License-Identifier: MIT */
#include "kernel.h"

extern const char phys_start[], phys_end[], virt_start[], virt_end[];

static __attribute__((noinline)) void map(uintptr_t from, uintptr_t to)
{
	if (to - from != (uintptr_t)virt_end - (uintptr_t)virt_start)
		print("sizes differ\n");
	panic("cannot map");
}

int kernel_main(void)
{
	map((uintptr_t)phys_start, (uintptr_t)phys_end);
	return 0;
}
