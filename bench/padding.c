/* SPDX-License-Identifier: MIT */
/*
 * Times each loop of padding.py by the time stamp counter, in turn, and prints the lowest cycles of
 * each, a line each.
 */
#include <stdio.h>

enum { TRIES = 500, MOST = 256 };

extern void (*const loops[])(void); /* up to a null */

static unsigned long now(void)
{
	unsigned low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (unsigned long)high << 32 | low;
}

int main(void)
{
	static unsigned long least[MOST];
	unsigned count = 0;

	while (loops[count])
		least[count++] = -1ul;
	for (unsigned i = 0; i < TRIES; i++) {
		for (unsigned loop = 0; loop < count; loop++) {
			unsigned long start, took;

			loops[loop](); /* fills the caches of code */
			start = now();
			loops[loop]();
			took = now() - start;
			if (took < least[loop])
				least[loop] = took;
		}
	}
	for (unsigned loop = 0; loop < count; loop++)
		printf("%lu\n", least[loop]);
}
