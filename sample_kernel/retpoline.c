/* SPDX-License-Identifier: MIT */
/* On a processor that needs no thunks, indirect branches go straight where they go. */
#include "bp_retpolines.h"
#include "check.h"
#include "kernel.h"

enum { CS_PREFIX = 0x2e, CALL = 0xe8, LONGEST = 6, SITES = 4 };

/* retpoline.S */
typedef uint64_t branch(uint64_t (*function)(void));
branch branch_call, branch_call_prefixed, branch_jump, branch_jump_prefixed;
extern const char __x86_indirect_thunk_rax[];
uint64_t thunks_run;

static branch *const branches[SITES] = {branch_call, branch_call_prefixed, branch_jump,
					branch_jump_prefixed};

static uint64_t seven(void)
{
	return 7;
}

/* Puts the branch itself in the place of a branch to its thunk; what stood there goes to `linked`.
 */
static void straighten(uint8_t *site, uint8_t *linked)
{
	uint32_t at = *site == CS_PREFIX, length = at + 5;
	bool call = site[at] == CALL;
	uint8_t branch_rax[] = {0xff, call ? 0xd0 : 0xe0, 0x0f, 0x1f, 0x00};	   /* and nop */
	uint8_t branch_r11[] = {0x41, 0xff, call ? 0xd3 : 0xe3, 0x0f, 0x1f, 0x00}; /* and nop */
	int32_t distance;

	memcpy(linked, site, LONGEST);
	memcpy(&distance, site + at + 1, sizeof(distance));
	if (site + length + distance == (const uint8_t *)__x86_indirect_thunk_rax)
		poke(NULL, site, branch_rax, length);
	else
		poke(NULL, site, branch_r11, length);
}

static bool all_return_seven(void)
{
	for (unsigned i = 0; i < SITES; i++)
		if (branches[i](seven) != 7)
			return false;
	return true;
}

/* A draft's table is empty: there all goes through the thunks. */
void check_retpolines(void)
{
	uint32_t sites = bp_retpolines.rows;
	uint8_t linked[SITES][LONGEST];

	thunks_run = 0;
	check("thunks-branch", all_return_seven(), true);
	check("thunks-run", thunks_run, SITES);
	check("thunks-sites", sites, sites ? SITES : 0);
	for (uint32_t i = 0; i < sites; i++)
		straighten((uint8_t *)&bp_retpolines.row[i].site + bp_retpolines.row[i].site,
			   linked[i]);
	check("straight-branch", all_return_seven(), true);
	check("straight-thunks-run", thunks_run, sites ? SITES : 2 * SITES);
	for (uint32_t i = 0; i < sites; i++)
		poke(NULL, (uint8_t *)&bp_retpolines.row[i].site + bp_retpolines.row[i].site,
		     linked[i], LONGEST);
}
