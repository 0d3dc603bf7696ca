/* SPDX-License-Identifier: MIT */
#include "kernel.h"

typedef void driver(void);
extern driver *const drivers_start[], *const drivers_end[];

static void disk(void)
{
	panic("disk: no answer");
}

static driver *const disk_driver __attribute__((section(".drivers"), used)) = disk;

static __attribute__((noinline)) void start_drivers(void)
{
	for (driver *const *start = drivers_start; start != drivers_end; start++)
		(*start)();
	__asm__ volatile("");
}

int kernel_main(void)
{
	start_drivers();
	return 0;
}
