/* SPDX-License-Identifier: MIT */
/* How a check says what it found. */
#ifndef REPORT_H
#define REPORT_H

#include "shim.h"

struct report {
	bool shim; /* whether that is the backend */
	unsigned made, failed;
	uint32_t calls[SHIM_OPS]; /* of the shim, up to the end of the last check */
};

void check(struct report *report, const char *name, unsigned long found, unsigned long expected);
void check_op(struct report *report, const char *name, unsigned op, unsigned long found,
	      unsigned long expected);

#endif
