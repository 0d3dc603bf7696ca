/* SPDX-License-Identifier: MIT */
/* The self test: the lists of checks, and their assembly. */
#ifndef CHECK_H
#define CHECK_H

#include "kernel.h"
#include "report.h"

/* check.c */
bool checks_run(bool shim, bool xen);

/* check_ops.c, check_cpu.c (or in the architecture's folder), check_sites.c, check_traps.c */
void check_ops(struct report *report);
void check_cpu(struct report *report); /* ops and sites that only this architecture has */
void check_sites(struct report *report);
void check_traps(struct report *report);

/* trace.c, extable.c, exports.c, static_call.c, retpoline.c: the checks of one table each. */
void check_trace(struct report *report);
void check_extable(struct report *report);
void check_exports(struct report *report);
void check_static_calls(struct report *report);
void check_retpolines(struct report *report);

/* probe.S: accesses that may fault; 1, or 0 after a fault, with probe_address and probe_error set.
 */
unsigned long probe_write(void *address, uint8_t value);
unsigned long probe_execute(void *address);
bool probe_recover(struct frame *frame);
extern unsigned long probe_address, probe_error;

/* registers.S: loads all registers except the stack pointer from _before, does something, and
 * stores them to _after. */
extern unsigned long registers_before[REGISTERS], registers_after[REGISTERS];
extern unsigned long registers_flags;
extern uint32_t registers_spins;
void registers_breakpoint(void);
void registers_interrupt(void);
void registers_calls(void);

#endif
