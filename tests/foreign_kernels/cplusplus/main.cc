/* SPDX-License-Identifier: MIT */
#include "disk.h"

extern void (*const constructors[])();
extern void (*const constructors_end[])();
extern const uint32_t frames[]; /* .eh_frame */

static volatile int machine = 1;
static disk::Queue<int> spare{machine ? "spare" : ""};

/* Prints a dot for each function that .eh_frame describes: a record of it says how far back its CIE is, which has 0. */
static void print_frames()
{
	for (const uint32_t *record = frames; record[0]; record += record[0] / 4 + 1)
		print(record[1] ? "." : "");
	print("\n");
}

extern "C" int kernel_main()
{
	for (void (*const *constructor)() = constructors; constructor != constructors_end; constructor++)
		(*constructor)();
	print_frames();
	if (disk::queues() != 2)
		return spare.take();
	return disk::next();
}
