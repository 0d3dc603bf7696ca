/* SPDX-License-Identifier: MIT */
/* How checks report their results. */
#ifndef REPORT_H
#define REPORT_H

#include "shim.h"

struct report {
	bool shim;	       /* whether the backend is the shim */
	bool hypervisor;       /* whether it is a hypervisor's: entries and cpuid are its own */
	const char *vendor;    /* what cpuid then says */
	unsigned long irq_off; /* irq_state() after irq_disable; after irq_enable: both bits */
	unsigned made, failed;
	uint32_t calls[SHIM_OPS]; /* the shim's counts at the end of the last check */
};

void check(struct report *report, const char *name, unsigned long found, unsigned long expected);
void check_op(struct report *report, const char *name, unsigned op, unsigned long found,
	      unsigned long expected);

#endif
