/* SPDX-License-Identifier: MIT */
/* Ticks of the 8254 timer, through the 8259 controllers. */
#include "kernel.h"
#include "paravirt.h"

enum {
	PIC1 = 0x20,
	PIC1_DATA = 0x21,
	PIC2 = 0xa0,
	PIC2_DATA = 0xa1,
	PIT_DATA = 0x40,
	PIT_CONTROL = 0x43,
	HERTZ = 250,
};

static void pic_write(uint16_t port, uint8_t value)
{
	outb(port, value);
	pv_io_delay();
}

/* Gives the controllers vectors of their own, and masks every line. */
static void pit_init(void)
{
	pic_write(PIC1, 0x11); /* ICW1: initialise, ICW4 follows */
	pic_write(PIC2, 0x11);
	pic_write(PIC1_DATA, VECTOR_IRQ);
	pic_write(PIC2_DATA, VECTOR_IRQ + 8);
	pic_write(PIC1_DATA, 1 << 2); /* the second is on line 2 of the first */
	pic_write(PIC2_DATA, 2);
	pic_write(PIC1_DATA, 1); /* ICW4: 8086 */
	pic_write(PIC2_DATA, 1);
	pic_write(PIC1_DATA, 0xff);
	pic_write(PIC2_DATA, 0xff);
}

static void pit_start(void)
{
	unsigned divisor = 1193182 / HERTZ;

	outb(PIT_CONTROL, 0x34); /* channel 0, both bytes, rate generator */
	pv_io_delay();
	outb(PIT_DATA, divisor & 0xff);
	pv_io_delay();
	outb(PIT_DATA, divisor >> 8);
	pic_write(PIC1_DATA, 0xfe);
}

static void pit_once(void)
{
	outb(PIT_CONTROL, 0x30); /* channel 0, both bytes, interrupt on terminal count */
	pv_io_delay();
	outb(PIT_DATA, 1);
	pv_io_delay();
	outb(PIT_DATA, 0);
	pic_write(PIC1_DATA, 0xfe);
}

static void pit_stop(void)
{
	pic_write(PIC1_DATA, 0xff);
}

static bool pit_pending(void)
{
	outb(PIC1, 0x0a); /* OCW3: the next read returns the requests */
	return inb(PIC1) & 1;
}

static bool pit_acknowledge(void)
{
	outb(PIC1, 0x20); /* end of interrupt */
	return true;
}

const struct timer machine_timer = {pit_init, pit_start,   pit_once,
				    pit_stop, pit_pending, pit_acknowledge};
