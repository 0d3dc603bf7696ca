/* SPDX-License-Identifier: MIT */
/* Loops over all names or symbols, for loops.py, which gives them their memory and says what they
 * do. Freestanding, so that a compiler is all that they need. */
#include <stdint.h>

enum {
	CODES = 256,
	BYTES = 8, /* of a name that are compared together */
	FEW = 24,  /* that are sorted one by one in less time */
	RELA_WORDS = 3,
	RELATIVE = 64,
};

int64_t loops_version(void);
int64_t name_lengths(const uint8_t *strings, const int64_t *starts, int64_t count, int64_t most,
		     int64_t *lengths);
int64_t join_names(const uint8_t *strings, const int64_t *starts, const int64_t *lengths,
		   int64_t count, uint8_t *joined);
int64_t list_symbols(const uint64_t *addresses, const uint8_t *letters, const uint8_t *strings,
		     const int64_t *starts, const int64_t *lengths, int64_t count, int64_t digits,
		     uint8_t *lines);
int64_t sort_numbers(int64_t count, uint64_t *keys, uint32_t *order);
int64_t sort_names(const uint8_t *strings, const int64_t *starts, const int64_t *lengths,
		   int64_t count, uint64_t *keys, uint32_t *order, uint32_t *runs);
int64_t find_referring(const uint8_t *records, int64_t count, const uint8_t *wanted,
		       const uint64_t *values, int64_t symbols, int64_t low, int64_t shift,
		       const uint8_t *pages, int64_t page_count, uint32_t *found);
int64_t find_doubtful(const uint8_t *records, int64_t count, const uint8_t *sure,
		      const uint64_t *values, int64_t symbols, const uint8_t *kinds,
		      int64_t kind_count, const uint8_t *content, int64_t size, int64_t address,
		      uint32_t *found);
int64_t shared_starts(const uint8_t *names, const int64_t *starts, const int64_t *ends,
		      int64_t count, int64_t most, int64_t *shared);
int64_t replace_pairs(const uint8_t *codes, int64_t size, const uint8_t *merged, uint8_t *kept);
int64_t merge_pairs(uint16_t *codes, int64_t size, const uint8_t *used, uint8_t *pairs,
		    int32_t *counts, uint32_t *places, int64_t between);

int64_t loops_version(void)
{
	return 2;
}

/* At most so many bytes are looked at, as names may share their ends: -1 if there are more. */
int64_t name_lengths(const uint8_t *strings, const int64_t *starts, int64_t count, int64_t most,
		     int64_t *lengths)
{
	for (int64_t i = 0; i < count; i++) {
		const uint8_t *name = strings + starts[i];
		int64_t length = 0;

		while (name[length] && length <= most)
			length++;
		most -= length;
		if (most < 0)
			return -1;
		lengths[i] = length;
	}
	return 0;
}

int64_t join_names(const uint8_t *strings, const int64_t *starts, const int64_t *lengths,
		   int64_t count, uint8_t *joined)
{
	for (int64_t i = 0; i < count; i++) {
		const uint8_t *name = strings + starts[i];

		for (int64_t byte = 0; byte < lengths[i]; byte++)
			*joined++ = name[byte];
		*joined++ = 0;
	}
	return 0;
}

int64_t list_symbols(const uint64_t *addresses, const uint8_t *letters, const uint8_t *strings,
		     const int64_t *starts, const int64_t *lengths, int64_t count, int64_t digits,
		     uint8_t *lines)
{
	for (int64_t i = 0; i < count; i++) {
		for (int64_t shift = 4 * (digits - 1); shift >= 0; shift -= 4)
			*lines++ = "0123456789abcdef"[addresses[i] >> shift & 15];
		*lines++ = ' ';
		*lines++ = letters[i];
		*lines++ = ' ';
		for (int64_t byte = 0; byte < lengths[i]; byte++)
			*lines++ = strings[starts[i] + byte];
		*lines++ = '\n';
	}
	return 0;
}

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

/* Of Elf64_Rela. -1 for a symbol that there is not. */
int64_t find_referring(const uint8_t *records, int64_t count, const uint8_t *wanted,
		       const uint64_t *values, int64_t symbols, int64_t low, int64_t shift,
		       const uint8_t *pages, int64_t page_count, uint32_t *found)
{
	uint32_t *end = found;

	for (int64_t i = 0; i < count; i++) {
		uint64_t record[RELA_WORDS]; /* offset, symbol and type, addend; of any alignment */

		__builtin_memcpy(record, records + sizeof record * i, sizeof record);
		uint64_t symbol = record[1] >> 32;
		if (symbol >= (uint64_t)symbols)
			return -1;
		if (!wanted[symbol] || !(uint32_t)record[1])
			continue;
		uint64_t page = (values[symbol] + record[2] - (uint64_t)low) >> shift;
		if (page < (uint64_t)page_count && pages[page])
			*end++ = i;
	}
	return end - found;
}

/* Of Elf64_Rela of one section. kinds: by type, the bytes of the field, and RELATIVE if it holds a
 * distance; 0 if it does not matter. -1 for a symbol that there is not. */
int64_t find_doubtful(const uint8_t *records, int64_t count, const uint8_t *sure,
		      const uint64_t *values, int64_t symbols, const uint8_t *kinds,
		      int64_t kind_count, const uint8_t *content, int64_t size, int64_t address,
		      uint32_t *found)
{
	uint32_t *end = found;

	for (int64_t i = 0; i < count; i++) {
		uint64_t record[RELA_WORDS], word = 0;

		__builtin_memcpy(record, records + sizeof record * i, sizeof record);
		uint64_t symbol = record[1] >> 32, at = record[0] - (uint64_t)address;
		uint32_t type = record[1];
		uint64_t kind = type < (uint64_t)kind_count ? kinds[type] : 0;
		uint64_t bytes = kind & ~(uint64_t)RELATIVE;
		if (symbol >= (uint64_t)symbols)
			return -1;
		if (!type || (at < (uint64_t)size && (!kind || !sure[symbol])))
			continue;
		if (bytes <= sizeof word && at < (uint64_t)size && bytes <= (uint64_t)size - at) {
			uint64_t held =
			    values[symbol] + record[2] - (kind & RELATIVE ? record[0] : 0);

			for (uint64_t byte = 0; byte < bytes; byte++)
				word |= (uint64_t)content[at + byte] << 8 * byte;
			if (!((held ^ word) << 8 * (sizeof word - bytes)))
				continue;
		}
		*end++ = i;
	}
	return end - found;
}

int64_t shared_starts(const uint8_t *names, const int64_t *starts, const int64_t *ends,
		      int64_t count, int64_t most, int64_t *shared)
{
	for (int64_t i = 1; i < count; i++) {
		const uint8_t *before = names + starts[i - 1], *name = names + starts[i];
		int64_t length = ends[i] - starts[i], same = 0;

		while (same < most && same < length && before[same] == name[same])
			same++;
		shared[i] = same;
	}
	return 0;
}

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
