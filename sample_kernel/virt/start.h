/* SPDX-License-Identifier: MIT */
/* ARCH/smp.c: what virt/smp.c needs of the architecture. */
#ifndef START_H
#define START_H

#include <stdbool.h>

/* Starts a processor at a physical address; false if it runs already, or there is none of the
 * number. */
bool smp_start_processor(unsigned long number, unsigned long start);
void smp_listen(void); /* lets live_entry.S have the interrupts of this processor */

#endif
