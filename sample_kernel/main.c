/* SPDX-License-Identifier: MIT */
/* The boot sequence: a console, a backend, fixup, and then everything that uses pv ops. */
#include "bp_paravirt.h"
#include "check.h"
#include "kernel.h"
#include "paravirt.h"
#include "shim.h"
#include "smp.h"
#include "xen.h"

static const struct choice {
	const char *name;
	const struct bp_backend *backend;
} choices[] = {
    {"native", &bp_paravirt_native}, {"shim", &bp_paravirt_shim}, XEN_CHOICE OTHER_CHOICES};

static const struct choice *choose(void)
{
	const char *name = command_line_value("backend=");

	if (!name)
		name = xen_running ? "xen" : DEFAULT_BACKEND;
	if (xen_running != !strcmp(name, "xen"))
		panic(xen_running ? "a PV domain of Xen runs by the backend xen only"
				  : "the backend xen is for a PV domain of Xen only");
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (!strcmp(choices[i].name, name))
			return &choices[i];
	panic("unknown backend");
}

const char *backend_name;

/* Redirects every pv site. */
static void fix_up(void)
{
	const struct choice *choice = choose();
	struct bp_status status;

	if (command_line_has("fixup=off")) {
		backend_name = "default";
		print("buildplug: backend default, fixup off\n");
		return;
	}
	status = bp_fixup(&bp_paravirt, choice->backend, kernel_start, kernel_end, poke, NULL);
	if (status.error) {
		print("buildplug: backend %s, fixup failed: error %s, entry %u\n", choice->name,
		      bp_error(status.error), status.entry);
		panic("paravirt fixup failed");
	}
	print("buildplug: backend %s, fixup done\n", choice->name);
	backend_name = choice->name;
}

/* Two calls deep, so that there is something to backtrace. */
static __attribute__((noinline)) void crash_here(bool trap)
{
	volatile int *hole;

	/* The second operand forces the frame, which some compilers make late. */
	__asm__ volatile("" : "=r"(hole) : "0"(16ul), "r"(__builtin_frame_address(0)));
	if (trap)
		*hole = 0;
	panic("crash asked for");
}

static __attribute__((noinline)) void crash(bool trap)
{
	crash_here(trap);
	__asm__ volatile(""); /* otherwise a tail call, without a frame to trace */
}

/* Called by boot.S. */
_Noreturn void kernel_main(uint32_t command_line);

_Noreturn void kernel_main(uint32_t command_line)
{
	const char *times;
	bool shim, good;

	serial_init();
	command_line_init(command_line);
	print("machine: %s\n", xen_running ? "Xen PV" : xen_pvh() ? "Xen PVH" : "bare");
	fix_up();
	shim = !strcmp(backend_name, "shim");

	interrupts_init();
	paging_init();
	timer_init();
	times = command_line_value("switch=");
	if (times && !switch_test(times, command_line_has("fixup=off") ? NULL : choose()->backend))
		finish(false);
	if (shim)
		shim_start();
	if (command_line_has("crash") || command_line_has("crash=trap"))
		crash(command_line_has("crash=trap"));

	if (command_line_value("work="))
		work_run(command_line_value("work="));

	good = checks_run(shim, xen_running);
	if (command_line_has("hold")) {
		print("hold\n");
		for (;;)
			pv_stop();
	}
	finish(good);
}
