/* SPDX-License-Identifier: MIT */
/* Output to the serial port of QEMU's `virt` (a PL011) by polling, and the end of the machine by PSCI. */
#include "kernel.h"

enum { DATA = 0, FLAGS = 0x18 / 4, TRANSMITTER_FULL = 0x20 };

#define PSCI_SYSTEM_OFF 0x84000008

static volatile unsigned *const port = (volatile unsigned *)0x9000000;

void put_char(char letter)
{
	while (port[FLAGS] & TRANSMITTER_FULL)
		;
	port[DATA] = (unsigned char)letter;
}

_Noreturn void stop(void)
{
	register unsigned long function __asm__("x0") = PSCI_SYSTEM_OFF;

	__asm__ volatile("hvc #0" : "+r"(function) : : "x1", "x2", "x3", "memory");
	for (;;)
		__asm__ volatile("wfi");
}
