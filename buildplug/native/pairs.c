/* SPDX-License-Identifier: MIT */
/* Byte pair encoding of names. */
#include "loops.h"

/* In a run of overlapping pairs, only the first is replaced. */
int64_t replace_pairs(const uint8_t *codes, int64_t size, const uint8_t *merged, uint8_t *kept)
{
	uint8_t *end = kept;
	int before = 0, taken = 0;

	for (int64_t i = 0; i < size; i++) {
		int code = i + 1 < size ? merged[codes[i] << 8 | codes[i + 1]] : 0;
		int starts = code && !before;

		if (!taken)
			*end++ = starts ? code : codes[i];
		taken = starts;
		before = code;
	}
	return end - kept;
}

/* The tokens that start at places[], by code; some of them no longer do. */
struct starts {
	uint32_t *at;
	int64_t count;
};

static int most_frequent(const int32_t *counts)
{
	int32_t most = 0;
	int pair = 0;

	for (int i = 0; i < CODES * CODES; i++)
		most = counts[i] > most ? counts[i] : most;
	if (!most)
		return -1;
	while (counts[pair] != most)
		pair++;
	return pair;
}

/* A token that stands for n bytes of a name takes n places: its code is in the first and in the
 * last of them, so that both neighbours find it, and what is between means nothing. counts: of
 * pairs, by second code, then first. */
int64_t merge_pairs(uint16_t *codes, int64_t size, const uint8_t *used, uint8_t *pairs,
		    int32_t *counts, uint32_t *places, int64_t between)
{
	struct starts starts[CODES] = {{0}};
	int64_t lengths[CODES], kept = 0;
	uint32_t *end = places;

	for (int64_t i = 0; i < size; i++)
		if (codes[i] != between)
			starts[codes[i]].count++;
	for (int code = 0; code < CODES; code++) {
		starts[code].at = end;
		end += starts[code].count;
		starts[code].count = 0;
		lengths[code] = 1;
	}
	for (int64_t i = 0; i < size; i++) {
		if (codes[i] == between)
			continue;
		starts[codes[i]].at[starts[codes[i]].count++] = i;
		if (codes[i + 1] != between)
			counts[codes[i + 1] * CODES + codes[i]]++;
	}
	for (int code = CODES - 1; code >= 0; code--) {
		if (used[code])
			continue;
		int pair = most_frequent(counts);
		if (pair < 0)
			break;
		int first = pair % CODES, second = pair / CODES;
		int by_first = starts[first].count <= starts[second].count;
		struct starts *rarer = &starts[by_first ? first : second];
		int64_t still = 0;

		pairs[2 * code] = first;
		pairs[2 * code + 1] = second;
		lengths[code] = lengths[first] + lengths[second];
		starts[code].at = end;
		for (int64_t i = 0; i < rarer->count; i++) {
			int64_t at = rarer->at[i], other = at;
			if (codes[at] != (by_first ? first : second))
				continue;
			if (by_first)
				other += lengths[first];
			if (by_first ? codes[other] != second : codes[at - 1] != first) {
				rarer->at[still++] = at;
				continue;
			}
			if (!by_first)
				at -= lengths[first];
			int before = codes[at - 1], after = codes[other + lengths[second]];
			if (before != between) {
				counts[first * CODES + before]--;
				counts[code * CODES + before]++;
			}
			if (after != between) {
				counts[after * CODES + second]--;
				counts[after * CODES + code]++;
			}
			counts[pair]--;
			codes[other] = between + 1; /* no code: no token starts here any more */
			codes[at] = codes[other + lengths[second] - 1] = code;
			*end++ = at;
			starts[code].count++;
		}
		rarer->count = still;
	}
	for (int64_t i = 0; i < size; i += codes[i] == between ? 1 : lengths[codes[i]])
		codes[kept++] = codes[i];
	return kept;
}
