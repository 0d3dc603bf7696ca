/* SPDX-License-Identifier: MIT */
/* Output to the serial port (a 16550) by polling, through an op. */
#include "kernel.h"
#include "paravirt.h"

enum { DATA = 0, LINE_STATUS = 5, TRANSMITTER_EMPTY = 0x20 };

void uart_put(unsigned long byte);

void uart_put(unsigned long byte)
{
	volatile uint8_t *registers = virtual(UART);

	while (!(registers[LINE_STATUS] & TRANSMITTER_EMPTY))
		;
	registers[DATA] = byte;
}

void serial_init(void)
{
}

void serial_write(char byte)
{
	pv_put(byte);
}
