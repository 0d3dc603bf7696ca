/* SPDX-License-Identifier: MIT */
/* The second processor, interrupts between processors, and the test that switches backends under
 * load. */
#ifndef SMP_H
#define SMP_H

#define AP_BASE 0x8000 /* where ap.S starts, in real mode: a page below 1 MiB */
#define AP_STACK (4 * PAGE_SIZE)

#ifndef __ASSEMBLER__
#include "buildplug.h"
#include "kernel.h"

/* smp.c: the local APICs. */
void smp_apic_init(void);
bool smp_requested(uint8_t vector); /* whether an interrupt waits to be delivered */
bool smp_start(void); /* starts smp_main on the second processor; false if there is none */
void smp_interrupt_others(uint8_t vector);
void smp_end_of_interrupt(void);
/* This processor's timer, in bus cycles; 0: stops it. */
void smp_timer(uint32_t period, uint8_t vector);
extern char ap_stack[AP_STACK]; /* the second processor's */

/* ap.S: from the start of a processor to ap_main. */
extern const char ap_start[], ap_end[];

/* live_entry.S */
extern const char breakpoint_entry[], summons_entry[];

/* load.c */
void load(void);
void load_entry(void); /* as entry code calls ops; for one processor */
void load_flags_on(void);
void load_flags_off(void);
extern uint32_t load_wrong, load_wrong_line; /* results of no backend: their number, a line */
extern uint32_t load_shims;		     /* results of the shim */

/* switch.c */
void smp_main(void); /* what the second processor does */
void smp_timer_interrupt(void);
bool switch_test(const char *times, const struct bp_backend *chosen);
#endif

#endif
