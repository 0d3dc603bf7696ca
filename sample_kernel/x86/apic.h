/* SPDX-License-Identifier: MIT */
/* smp.c: the local APICs, and the startup code of the second processor. */
#ifndef APIC_H
#define APIC_H

#define AP_BASE 0x8000 /* where ap.S starts, in real mode: a page below 1 MiB */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

void smp_apic_init(void);
bool smp_requested(uint8_t vector); /* whether an interrupt waits to be delivered */
void smp_end_of_interrupt(void);
/* This processor's timer, in bus cycles; 0: stops it. */
void smp_timer(uint32_t period, uint8_t vector);

/* ap.S: from the start of a processor to ap_main. */
extern const char ap_start[], ap_end[];

/* live_entry.S */
extern const char breakpoint_entry[], summons_entry[];
#endif

#endif
