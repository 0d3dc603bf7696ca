/* SPDX-License-Identifier: MIT */
/* Accesses to memory that may not exist: after a fault the table gives the address to continue at.
 */
#include "bp_extable.h"
#include "check.h"
#include "copy.h"
#include "kernel.h"

unsigned long load_or(const unsigned long *from, unsigned long otherwise); /* extable.S */

bool extable_recover(struct frame *frame)
{
	uintptr_t fixup =
	    bp_extable_find(&bp_extable, kernel_end - (const char *)&bp_extable, FRAME_PC(frame));

	if (!IS_PAGE_FAULT(frame) || !fixup)
		return false;
	FRAME_PC(frame) = fixup;
	return true;
}

/* In the draft the table is empty: every fault is fatal. */
void check_extable(struct report *report)
{
	uintptr_t mapped = ((uintptr_t)kernel_end + PAGE_SIZE - 1) & -PAGE_SIZE;
	unsigned long *hole = (unsigned long *)0x10, value = 42, other = 0;

	check(report, "copy", copy_until_fault(&other, &value, sizeof(value)), 0);
	check(report, "copy-value", other, value);
	check(report, "load", load_or(&value, 1), 42);
	if (!bp_extable.rows)
		return;
	check(report, "copy-from-hole", copy_until_fault(&value, hole, sizeof(value)),
	      sizeof(value));
	check(report, "copy-to-hole", copy_until_fault(hole, &value, sizeof(value)), sizeof(value));
	check(report, "copy-to-text", copy_until_fault(text_start, text_start, 1), 1);
	check(report, "copy-past-end",
	      copy_until_fault(&value, (const void *)(mapped - 3), sizeof(value)),
	      sizeof(value) - 3);
	check(report, "load-from-hole", load_or(hole, 43), 43);
}
