/* SPDX-License-Identifier: MIT */
/* Relocations that matter, among all of an image. */
#include "loops.h"

enum {
	RELA_WORDS = 3, /* of an Elf64_Rela */
	RELATIVE = 64,	/* of a kind of field: see loops.py */
};

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
