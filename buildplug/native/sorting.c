/* SPDX-License-Identifier: MIT */
/* The order of names and of numbers. */
#include "loops.h"

enum {
	BYTES = 8, /* of a name that are compared together */
	FEW = 24,  /* that are sorted one by one in less time */
};

/* Sorts order[] by keys[], and both alike. What stands behind so many of each is scratch. */
static void sort_few(uint64_t *keys, uint32_t *order, int64_t count)
{
	for (int64_t i = 1; i < count; i++) {
		uint64_t key = keys[i];
		uint32_t item = order[i];
		int64_t at = i;

		for (; at && keys[at - 1] > key; at--) {
			keys[at] = keys[at - 1];
			order[at] = order[at - 1];
		}
		keys[at] = key;
		order[at] = item;
	}
}

static void sort_many(uint64_t *keys, uint32_t *order, uint64_t *other_keys, uint32_t *other_order,
		      int64_t count)
{
	uint64_t differs = 0;
	int swapped = 0;

	for (int64_t i = 0; i < count; i++)
		differs |= keys[i] ^ keys[0];
	for (int shift = 0; shift < 8 * BYTES; shift += 8) {
		uint32_t place = 0, first[CODES] = {0};

		if (!(differs >> shift & 255))
			continue;
		for (int64_t i = 0; i < count; i++)
			first[keys[i] >> shift & 255]++;
		for (int value = 0; value < CODES; value++) {
			place += first[value];
			first[value] = place - first[value];
		}
		for (int64_t i = 0; i < count; i++) {
			uint32_t to = first[keys[i] >> shift & 255]++;

			other_keys[to] = keys[i];
			other_order[to] = order[i];
		}
		uint64_t *sorted_keys = other_keys;
		uint32_t *sorted = other_order;
		other_keys = keys;
		other_order = order;
		keys = sorted_keys;
		order = sorted;
		swapped = !swapped;
	}
	for (int64_t i = 0; swapped && i < count; i++) {
		other_keys[i] = keys[i];
		other_order[i] = order[i];
	}
}

int64_t sort_numbers(int64_t count, uint64_t *keys, uint32_t *order)
{
	for (int64_t i = 0; i < count; i++)
		order[i] = i;
	if (count)
		sort_many(keys, order, keys + count, order + count, count);
	return 0;
}

/* By BYTES of each name at a time: runs[] has the first and the last of those that are the same up
 * to there. */
int64_t sort_names(const uint8_t *strings, const int64_t *starts, const int64_t *lengths,
		   int64_t count, uint64_t *keys, uint32_t *order, uint32_t *runs)
{
	uint32_t *next = runs + count + 2;
	int64_t run_count = count > 1;

	for (int64_t i = 0; i < count; i++)
		order[i] = i;
	runs[0] = 0;
	runs[1] = count - 1;
	for (int64_t byte = 0; run_count; byte += BYTES) {
		int64_t still = 0;

		for (int64_t run = 0; run < run_count; run++) {
			int64_t first = runs[2 * run], last = runs[2 * run + 1], longer = 0;

			for (int64_t i = first; i <= last; i++) {
				const uint8_t *name = strings + starts[order[i]] + byte;
				int64_t left = lengths[order[i]] - byte;
				uint64_t key = 0;

				longer |= left > BYTES;
				for (int at = 0; at < BYTES && at < left; at++)
					key |= (uint64_t)name[at] << 8 * (BYTES - 1 - at);
				keys[i] = key;
			}
			if (last - first < FEW)
				sort_few(keys + first, order + first, last - first + 1);
			else
				sort_many(keys + first, order + first, keys + count, order + count,
					  last - first + 1);
			for (int64_t i = first; longer && i < last; i++) {
				if (keys[i] != keys[i + 1])
					continue;
				next[2 * still] = i;
				while (i < last && keys[i] == keys[i + 1])
					i++;
				next[2 * still++ + 1] = i;
			}
		}
		uint32_t *done = runs;
		runs = next;
		next = done;
		run_count = still;
	}
	return 0;
}
