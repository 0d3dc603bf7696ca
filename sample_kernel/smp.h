/* SPDX-License-Identifier: MIT */
/* The second processor, interrupts between processors, and the test that switches backends under
 * load. */
#ifndef SMP_H
#define SMP_H

#define AP_STACK (4 * PAGE_SIZE)

#ifndef __ASSEMBLER__
#include "kernel.h"
#include "live.h"

/* smp.c, or for QEMU's virt virt/smp.c and ARCH/smp.c. */
bool smp_start(void);	    /* starts smp_main on the second processor; false if there is none */
void smp_timer_start(void); /* this processor's */
void smp_timer_stop(void);
void smp_summon(void);		/* interrupts the second processor, for summoned */
void smp_acknowledge(void);	/* that interrupt */
extern char ap_stack[AP_STACK]; /* the second processor's */

/* load.c */
void load(void);
void load_entry(void); /* as entry code calls ops; for one processor */
void load_backend(
    bool shim); /* ops must be those of the shim, or not; if nothing changes meanwhile */
void load_flags_on(void);
void load_flags_off(void);
extern uint32_t load_wrong, load_wrong_line; /* results of no backend: their number, a line */
extern uint32_t load_shims;		     /* results of the shim */
#define EXPECT(good) load_expect(good, __LINE__)
void load_expect(bool good, uint32_t line);

/* load_cpu.c, or ARCH/smp.c: ops and sites that only this architecture has; flags as its
 * pv_irq_save returns them. */
void load_cpu(void);
bool load_plausible(unsigned long flags);

/* switch.c */
extern struct bp_live live;
extern uint32_t live_traps; /* at breakpoints of live, where it sets some */
void smp_main(void);	    /* what the second processor does */
void smp_timer_interrupt(void);
void summoned(const void *frame); /* called by live_entry.S */
bool switch_test(const char *times, const struct bp_backend *chosen);
#endif

#endif
