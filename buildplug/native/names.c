/* SPDX-License-Identifier: MIT */
/* Names in a string table. */
#include "loops.h"

int64_t loops_version(void)
{
	return LOOPS_VERSION;
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
