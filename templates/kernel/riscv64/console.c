/* SPDX-License-Identifier: MIT */
/* Output to the serial port of QEMU's `virt` (a 16550) by polling, and the end of the machine by SBI. */
#include "kernel.h"

enum { DATA = 0, LINE_STATUS = 5, TRANSMITTER_EMPTY = 0x20, SYSTEM_RESET = 0x53525354 /* "SRST" */ };

static volatile unsigned char *const port = (volatile unsigned char *)0x10000000;

void put_char(char letter)
{
	while (!(port[LINE_STATUS] & TRANSMITTER_EMPTY))
		;
	port[DATA] = (unsigned char)letter;
}

_Noreturn void stop(void)
{
	register long type __asm__("a0") = 0, reason __asm__("a1") = 0; /* a shutdown, for no reason */
	register long function __asm__("a6") = 0, extension __asm__("a7") = SYSTEM_RESET;

	__asm__ volatile("ecall" : "+r"(type), "+r"(reason) : "r"(function), "r"(extension) : "memory");
	for (;;)
		__asm__ volatile("wfi");
}
