/* SPDX-License-Identifier: MIT */
/* The self test: how a check is made, the three lists of checks, and the assembly that they run. */
#ifndef CHECK_H
#define CHECK_H

#include "kernel.h"

/* check.c */
bool checks_run(bool shim);
void check(const char *name, unsigned long found, unsigned long expected);
void check_op(const char *name, unsigned op, unsigned long found, unsigned long expected);

/* The interrupt flag as the kernel sees it and as the processor has it. */
enum { KERNEL_IF = 1, PROCESSOR_IF = 2 };
unsigned long irq_state(void);
unsigned long irq_state_off(bool shim);

/* check_ops.c, check_sites.c, check_traps.c */
void check_ops(bool shim);
void check_sites(bool shim);
void check_traps(bool shim);

/* trace.c, extable.c, exports.c, static_call.c, retpoline.c: of a table each. */
void check_trace(void);
void check_extable(void);
void check_exports(void);
void check_static_calls(void);
void check_retpolines(void);

/* probe.S: accesses that may fault; 1, or 0 when it did and probe_cr2 and probe_error tell. */
unsigned long probe_write(void *address, uint8_t value);
unsigned long probe_execute(void *address);
bool probe_recover(struct frame *frame);
extern unsigned long probe_cr2, probe_error;

/* registers.S: loads all registers but the stack pointer from _before, does something, stores them
 * to _after. */
extern unsigned long registers_before[REGISTERS], registers_after[REGISTERS];
extern unsigned long registers_flags;
extern uint32_t registers_spins;
void registers_breakpoint(void);
void registers_interrupt(void);
void registers_calls(void);

#endif
