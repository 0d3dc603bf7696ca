/* SPDX-License-Identifier: MIT */
/* Runs and reports checks. */
#include "report.h"
#include "kernel.h"

static void conclude(struct report *report, const char *name, const char *what, unsigned long found,
		     unsigned long expected)
{
	report->made++;
	if (found == expected) {
		print("check %s: ok\n", name);
	} else {
		report->failed++;
		print("check %s: FAILED %s %lx, expected %lx\n", name, what, found, expected);
	}
	memcpy(report->calls, (const void *)shim_calls, sizeof(report->calls));
}

void check(struct report *report, const char *name, unsigned long found, unsigned long expected)
{
	conclude(report, name, "found", found, expected);
}

/* Also checks that, since the last check, the shim counted one call of op, or none under native.
 */
void check_op(struct report *report, const char *name, unsigned op, unsigned long found,
	      unsigned long expected)
{
	uint32_t calls = shim_calls[op] - report->calls[op];

	if (calls == report->shim)
		conclude(report, name, "found", found, expected);
	else
		conclude(report, name, "calls of the shim", calls, report->shim);
}
