/* SPDX-License-Identifier: MIT */
#include "kernel.h"

extern const char _binary_motd_txt_start[], _binary_motd_txt_end[];

static __attribute__((noinline)) void show(const char *text, const char *end)
{
	char line[64];
	unsigned length = 0;

	while (text < end && length < sizeof(line) - 1)
		line[length++] = *text++;
	line[length] = 0;
	print(line);
	panic("shown");
}

int kernel_main(void)
{
	show(_binary_motd_txt_start, _binary_motd_txt_end);
	return 0;
}
