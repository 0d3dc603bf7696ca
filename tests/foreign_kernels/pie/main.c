/* SPDX-License-Identifier: MIT */
/* Moves itself to another address, relocates itself by its dynamic section, and goes on there. */
#include "kernel.h"

#define MOVED_TO 0x1000000ul

struct dynamic {
	uint64_t tag, value;
};

struct rela {
	uint64_t offset, info;
	int64_t addend;
};

extern char image_start[], image_end[];
extern const struct dynamic _DYNAMIC[] __attribute__((visibility("hidden")));

static void __attribute__((noinline)) probe(int (*const *driver)(void))
{
	(*driver)();
}

int broken_driver(void)
{
	panic("no device");
}

int (*volatile const drivers[])(void) = {broken_driver};

int kernel_main(void)
{
	if ((uintptr_t)image_start != MOVED_TO)
		print("not moved\n");
	probe((int (*const *)(void))drivers);
	return 0;
}

void move_and_start(void)
{
	uint64_t slide = MOVED_TO - (uintptr_t)image_start, rela = 0, size = 0;

	for (const struct dynamic *entry = _DYNAMIC; entry->tag; entry++) {
		if (entry->tag == 7) /* DT_RELA */
			rela = entry->value;
		if (entry->tag == 8) /* DT_RELASZ */
			size = entry->value;
	}
	for (uint64_t at = 0; at < (uintptr_t)image_end - (uintptr_t)image_start; at++)
		((volatile char *)MOVED_TO)[at] = image_start[at];
	for (const struct rela *r = (const struct rela *)rela; (uintptr_t)r < rela + size; r++)
		if (r->info == 8) /* R_X86_64_RELATIVE */
			*(volatile uint64_t *)(r->offset + slide) = (uint64_t)r->addend + slide;
	((void (*)(void))((uintptr_t)kernel_main + slide))();
}
