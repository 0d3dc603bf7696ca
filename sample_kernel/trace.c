/* SPDX-License-Identifier: MIT */
/* Turns the tracing of all functions on and off, by the table of the calls at their
 * entries. */
#include "bp_calls.h"
#include "check.h"
#include "kernel.h"

void trace_entry(void);

uint32_t trace_count;

static void trace(bool on)
{
	uintptr_t target = on ? (uintptr_t)trace_entry : (uintptr_t)ENTRY_HOOK;

	for (uint32_t i = 0; i < bp_calls.rows; i++) {
		uintptr_t site = (uintptr_t)&bp_calls.row[i].site + bp_calls.row[i].site;

		branch_lead(site, CALL_LENGTH, target, poke);
	}
}

static uint32_t entries_of_a_call(void)
{
	uint32_t before = trace_count;

	strcmp("one", "two");
	return trace_count - before;
}

/* In the draft the table is empty: tracing cannot be turned on. Without a timer, as ticks would be
 * counted. */
void check_trace(struct report *report)
{
	timer_stop();
	check(report, "trace-off", entries_of_a_call(), 0);
	trace(true);
	check(report, "trace-on", entries_of_a_call(), bp_calls.rows ? 1 : 0);
	trace(false);
	check(report, "trace-off-again", entries_of_a_call(), 0);
}
