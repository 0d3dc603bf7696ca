/* SPDX-License-Identifier: MIT */
/* On a processor that needs no thunks, replaces branches to them by plain indirect branches. */
#include "bp_retpolines.h"
#include "check.h"
#include "kernel.h"

enum { CS_PREFIX = 0x2e, CALL = 0xe8, LONGEST = 6, SITES = 4 };

/* retpoline.S */
typedef unsigned long branch(unsigned long (*function)(void));
branch branch_call, branch_call_other, branch_jump, branch_jump_other;
uint32_t thunks_run;

/* For each thunk, the code that may replace a branch to it. */
extern const struct straight {
	uintptr_t thunk;
	uint8_t call[8] __attribute__((aligned(8))), jump[8];
} straights[2];

static branch *const branches[SITES] = {branch_call, branch_call_other, branch_jump,
					branch_jump_other};

static unsigned long seven(void)
{
	return 7;
}

/* Replaces a branch to a thunk by the indirect branch itself, and saves the old bytes in `linked`.
 */
static void straighten(uint8_t *site, uint8_t *linked)
{
	uint32_t at = *site == CS_PREFIX, length = at + 5;
	uintptr_t target = (uintptr_t)site + length;
	const struct straight *straight = straights;
	int32_t distance;

	memcpy(linked, site, LONGEST);
	memcpy(&distance, site + at + 1, sizeof(distance));
	straight += straight->thunk != target + distance;
	poke(NULL, site, site[at] == CALL ? straight->call : straight->jump, length);
}

static bool all_return_seven(void)
{
	for (unsigned i = 0; i < SITES; i++)
		if (branches[i](seven) != 7)
			return false;
	return true;
}

/* In the draft the table is empty: all branches go through the thunks. */
void check_retpolines(struct report *report)
{
	uint32_t sites = bp_retpolines.rows;
	uint8_t linked[SITES][LONGEST];

	thunks_run = 0;
	check(report, "thunks-branch", all_return_seven(), true);
	check(report, "thunks-run", thunks_run, SITES);
	check(report, "thunks-sites", sites, sites ? SITES : 0);
	for (uint32_t i = 0; i < sites; i++)
		straighten((uint8_t *)&bp_retpolines.row[i].site + bp_retpolines.row[i].site,
			   linked[i]);
	check(report, "straight-branch", all_return_seven(), true);
	check(report, "straight-thunks-run", thunks_run, sites ? SITES : 2 * SITES);
	for (uint32_t i = 0; i < sites; i++)
		poke(NULL, (uint8_t *)&bp_retpolines.row[i].site + bp_retpolines.row[i].site,
		     linked[i], LONGEST);
}
