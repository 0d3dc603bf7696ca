/* SPDX-License-Identifier: MIT */
/* What a check is and says, and what the checks have in common. */
#include "check.h"
#include "paravirt.h"
#include "shim.h"

static bool shim_expected;
static unsigned made, failed;
static uint32_t calls_before[SHIM_OPS]; /* at the end of the last check */

static void report(const char *name, const char *what, unsigned long found, unsigned long expected)
{
	made++;
	if (found == expected) {
		print("check %s: ok\n", name);
	} else {
		failed++;
		print("check %s: FAILED %s %lx, expected %lx\n", name, what, found, expected);
	}
	memcpy(calls_before, (const void *)shim_calls, sizeof(calls_before));
}

void check(const char *name, unsigned long found, unsigned long expected)
{
	report(name, "found", found, expected);
}

/* And since the last check, op was called once through the shim if that is the backend, else never.
 */
void check_op(const char *name, unsigned op, unsigned long found, unsigned long expected)
{
	uint32_t calls = shim_calls[op] - calls_before[op];

	if (calls == shim_expected)
		report(name, "found", found, expected);
	else
		report(name, "calls of the shim", calls, shim_expected);
}

unsigned long irq_state(void)
{
	return (pv_irq_save() & FLAGS_IF ? KERNEL_IF : 0) |
	       (read_flags() & FLAGS_IF ? PROCESSOR_IF : 0);
}

/* What irq_state is after irq_disable; after irq_enable it is both bits. */
unsigned long irq_state_off(bool shim)
{
	return shim ? PROCESSOR_IF : 0;
}

bool checks_run(bool shim)
{
	shim_expected = shim;
	check_ops(shim);
	check_sites(shim);
	check_traps(shim);
	check_trace();
	check_extable();
	check_exports();
	check_static_calls();
	check_retpolines();
	print("%u checks, %u failed\n", made, failed);
	return !failed;
}
