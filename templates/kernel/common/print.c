/* SPDX-License-Identifier: MIT */
#include "kernel.h"

void print(const char *text)
{
	while (*text)
		put_char(*text++);
}

void print_line(const char *text)
{
	print(text);
	put_char('\n');
}
