/* SPDX-License-Identifier: MIT */
/* What the kernel offers by name. */
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

/* A draft's table is empty. */
void check_exports(void)
{
	bool there = bp_exports.rows;

	check("export-function", finds("strcmp", strcmp, ""), there);
	check("export-namespace", finds("print", print, "CONSOLE"), there);
	check("export-object", finds("ticks", &ticks, "TIME"), there);
	check("export-none", finds("panic", panic, ""), false);
}
