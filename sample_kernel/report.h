/* SPDX-License-Identifier: MIT */
/* How checks report their results. */
#ifndef REPORT_H
#define REPORT_H

#include "shim.h"

struct report {
	bool shim; /* whether the backend is the shim */
	unsigned made, failed;
	uint32_t calls[SHIM_OPS]; /* the shim's counts at the end of the last check */
};

void check(struct report *report, const char *name, unsigned long found, unsigned long expected);
void check_op(struct report *report, const char *name, unsigned op, unsigned long found,
	      unsigned long expected);

#endif
