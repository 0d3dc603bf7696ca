/* SPDX-License-Identifier: MIT */
/* The interrupt controller (Arm Generic Interrupt Controller, version 2.0, IHI 0048). */
#ifndef GIC_H
#define GIC_H

#include "kernel.h"

/* Registers of the distributor and of the processor's interface. */
enum { CONTROL = 0, ENABLE = 0x100, SOFTWARE = 0xf00 };
enum { PRIORITY = 4, ACKNOWLEDGE = 0xc, END = 0x10, HIGHEST_PENDING = 0x18 };
enum { TO_OTHERS = 1 << 24, TO_ITSELF = 2 << 24 }; /* in SOFTWARE */
enum { INTERRUPT_NUMBER = 0x3ff };		   /* in ACKNOWLEDGE and HIGHEST_PENDING */

static inline volatile uint32_t *gic(unsigned long device, unsigned number)
{
	return (volatile uint32_t *)((char *)virtual(device) + number);
}

#endif
