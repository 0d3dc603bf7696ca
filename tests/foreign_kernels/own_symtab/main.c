/* SPDX-License-Identifier: MIT */
#include "kernel.h"

static __attribute__((noinline)) void fault(unsigned vector)
{
	if (vector == 14)
		panic("page fault");
	print("another fault");
}

int kernel_main(void)
{
	volatile unsigned vector = 14;

	fault(vector);
	return 0;
}
