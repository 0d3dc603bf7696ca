/* SPDX-License-Identifier: MIT */
#include "kernel.h"

static __attribute__((noinline)) int check(int fault)
{
	if (fault)
		panic("found a fault");
	return fault;
}

int kernel_main(void)
{
	volatile int fault = 1;

	return check(fault) + 1;
}
