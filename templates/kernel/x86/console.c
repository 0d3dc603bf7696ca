/* SPDX-License-Identifier: MIT */
/* Output to the first serial port (a 16550 at 0x3f8) by polling, and the end of QEMU by its isa-debug-exit device. */
#include "kernel.h"

enum { DATA = 0x3f8, LINE_STATUS = 0x3fd, TRANSMITTER_EMPTY = 0x20, DEBUG_EXIT = 0xf4 };

static void outb(unsigned short port, unsigned char value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static unsigned char inb(unsigned short port)
{
	unsigned char value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void put_char(char letter)
{
	while (!(inb(LINE_STATUS) & TRANSMITTER_EMPTY))
		;
	outb(DATA, (unsigned char)letter);
}

_Noreturn void stop(void)
{
	outb(DEBUG_EXIT, 0); /* QEMU ends with status 1; other machines have no such device */
	for (;;)
		__asm__ volatile("cli; hlt");
}
