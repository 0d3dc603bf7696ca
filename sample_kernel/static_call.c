/* SPDX-License-Identifier: MIT */
/* A call whose target is chosen at run time, by rewriting all its call sites. */
#include "bp_static_calls.h"
#include "check.h"
#include "kernel.h"

unsigned long twice(unsigned long value);
unsigned long thrice(unsigned long value);

BP_STATIC_CALL(times, twice);

unsigned long twice(unsigned long value)
{
	return 2 * value;
}

unsigned long thrice(unsigned long value)
{
	return 3 * value;
}

static __attribute__((noinline)) unsigned long call(unsigned long value)
{
	return bp_static_call(times)(value) + 1;
}

static __attribute__((noinline)) unsigned long tail_call(unsigned long value)
{
	return bp_static_call(times)(value);
}

static bool choose(unsigned long (*function)(unsigned long))
{
	return bp_static_calls_set(&bp_static_calls, (uintptr_t)bp_static_call(times),
				   (uintptr_t)function, kernel_start, kernel_end, poke, NULL);
}

/* The number of sites that call `function` directly; with `change`, first redirects them to it. */
static uint32_t sites_of(unsigned long (*function)(unsigned long), bool change)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < bp_static_calls.rows; i++) {
		const struct bp_static_calls_row *row = &bp_static_calls.row[i];
		uintptr_t site = (uintptr_t)&row->site + row->site;

		if (change)
			branch_lead(site, row->length, (uintptr_t)function, poke);
		count += branch_target(site, row->length) == (uintptr_t)function;
	}
	return count;
}

/* In the draft the table is empty: only the trampoline is redirected. */
void check_static_calls(struct report *report)
{
	uint32_t sites = bp_static_calls.rows;

	check(report, "static-call", call(10), 21);
	check(report, "static-call-sites", sites_of(bp_static_call(times), false), sites);
	check(report, "static-call-switch", choose(thrice), true);
	check(report, "static-call-switched", call(10), 31);
	check(report, "static-call-switched-tail", tail_call(10), 30);
	check(report, "static-call-switched-sites", sites_of(thrice, false), sites);
	check(report, "static-call-back", choose(twice), true);
	check(report, "static-call-back-tail", tail_call(10), 20);
	/* As linked: the kernel's memory is compared with that. */
	check(report, "static-call-undone", sites_of(bp_static_call(times), true), sites);
}
