/* SPDX-License-Identifier: MIT */
/* The kernel's exported symbols. */
#include "bp_exports.h"
#include "check.h"
#include "kernel.h"

BP_EXPORT(strcmp, "");
BP_EXPORT(print, "CONSOLE");
BP_EXPORT(ticks, "TIME");

static bool finds(const char *name, const volatile void *address, const char *namespace)
{
	struct bp_exports_found found;

	return bp_exports_find(&bp_exports, kernel_end - (const char *)&bp_exports, name, &found) &&
	       found.address == (uintptr_t)address && !strcmp(found.ns, namespace);
}

/* In the draft the table is empty. */
void check_exports(struct report *report)
{
	bool there = bp_exports.rows;

	check(report, "export-function", finds("strcmp", strcmp, ""), there);
	check(report, "export-namespace", finds("print", print, "CONSOLE"), there);
	check(report, "export-object", finds("ticks", &ticks, "TIME"), there);
	check(report, "export-none", finds("panic", panic, ""), false);
}
