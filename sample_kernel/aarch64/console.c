/* SPDX-License-Identifier: MIT */
/* Output to the serial port (a PL011) by polling. */
#include "kernel.h"

enum { DATA = 0, FLAGS = 6, FULL = 0x20 }; /* words */

void serial_init(void)
{
}

void serial_write(char byte)
{
	volatile uint32_t *registers = virtual(UART);

	while (registers[FLAGS] & FULL)
		;
	registers[DATA] = (uint8_t)byte;
}
