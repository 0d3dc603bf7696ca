/* SPDX-License-Identifier: MIT */
#include "kernel.h"

static void out(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void print(const char *text)
{
	while (*text)
		out(0x3f8, (uint8_t)*text++);
}

void halt(void)
{
	out(0xf4, 0x10); /* ends QEMU */
	for (;;)
		__asm__ volatile("hlt");
}
