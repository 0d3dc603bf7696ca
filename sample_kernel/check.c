/* SPDX-License-Identifier: MIT */
/* The self test. */
#include "check.h"
#include "xen.h"

static void (*const checks[])(struct report *report) = {
    check_ops,	   check_cpu,	  check_sites,	      check_traps, check_trace,
    check_extable, check_exports, check_static_calls, OTHER_CHECKS};

bool checks_run(bool shim, bool xen)
{
	struct report report = {
	    .shim = shim,
	    .hypervisor = shim || xen,
	    .vendor = xen ? XEN_VENDOR : SHIM_VENDOR,
	    .irq_off = shim || xen ? PROCESSOR_IF : 0,
	};

	for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&report);
	print("%u checks, %u failed\n", report.made, report.failed);
	return !report.failed;
}
