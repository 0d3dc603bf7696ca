/* SPDX-License-Identifier: MIT */
/* Output to the first serial port (a 16550 at 0x3f8) by polling: 115200 baud, 8n1. */
#include "kernel.h"

enum {
	DATA = 0x3f8,
	INTERRUPT_ENABLE = 0x3f9,
	FIFO_CONTROL = 0x3fa,
	LINE_CONTROL = 0x3fb,
	LINE_STATUS = 0x3fd,
	DLAB = 0x80,
	EIGHT_BITS = 0x03,
	TRANSMITTER_EMPTY = 0x20,
};

void serial_init(void)
{
	outb(INTERRUPT_ENABLE, 0);
	outb(LINE_CONTROL, DLAB);
	outb(DATA, 1); /* the divisor's low and high byte */
	outb(INTERRUPT_ENABLE, 0);
	outb(LINE_CONTROL, EIGHT_BITS);
	outb(FIFO_CONTROL, 1);
}

void serial_write(char byte)
{
	while (!(inb(LINE_STATUS) & TRANSMITTER_EMPTY))
		;
	outb(DATA, byte);
}
