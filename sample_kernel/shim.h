/* SPDX-License-Identifier: MIT */
/* The interface of the backend "shim": what the checks read, and its hypervisor's side. */
#ifndef SHIM_H
#define SHIM_H

#include "arch.h"

/* Indices of shim_calls; arch.h has the others, from 11 on, and their number, SHIM_OPS. irq_enable
 * and irq_disable only store to shim_if, uncounted. */
#define SHIM_IRQ_SAVE 0
#define SHIM_IRQ_RESTORE 1
#define SHIM_HALT 2
#define SHIM_MAKE_PTE 3
#define SHIM_PTE_VAL 4
#define SHIM_SET_PTE 5
#define SHIM_READ_ROOT 6
#define SHIM_WRITE_ROOT 7
#define SHIM_READ_FAULT 8
#define SHIM_FLUSH_TLB 9
#define SHIM_IO_DELAY 10

#define SHIM_LEAF 0x40000000 /* the cpuid leaf where hypervisors identify themselves */
#define SHIM_VENDOR "buildplugshm"

/* Inverted in page table entries; the processor ignores the bit. */
#ifndef PTE_PSEUDO_BIT
#define PTE_PSEUDO_BIT 9
#endif
#define PTE_PSEUDO (1ul << PTE_PSEUDO_BIT)

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

extern volatile unsigned long shim_if; /* the kernel's interrupt flag: 0 or 1 */
extern volatile uint32_t shim_pending;
extern volatile uint32_t shim_calls[SHIM_OPS];

void shim_start(void);
uint32_t shim_deliver(bool enabled);
#endif

#endif
