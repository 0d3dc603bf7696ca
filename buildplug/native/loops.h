/* SPDX-License-Identifier: MIT */
/* Loops over all names, numbers or relocations, for loops.py, which gives them their memory and
 * says what they do. Freestanding, so that a compiler is all that they need. */
#include <stdint.h>

enum {
	LOOPS_VERSION = 3, /* of what loops.py expects */
	CODES = 256,	   /* of a byte */
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
int64_t find_instructions(const uint8_t *code, int64_t size, const int64_t *functions,
			  const int64_t *places, int64_t count, int64_t *found);
int64_t shared_starts(const uint8_t *names, const int64_t *starts, const int64_t *ends,
		      int64_t count, int64_t most, int64_t *shared);
int64_t replace_pairs(const uint8_t *codes, int64_t size, const uint8_t *merged, uint8_t *kept);
int64_t merge_pairs(uint16_t *codes, int64_t size, const uint8_t *used, uint8_t *pairs,
		    int32_t *counts, uint32_t *places, int64_t between);
