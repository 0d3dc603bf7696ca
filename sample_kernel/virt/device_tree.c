/* SPDX-License-Identifier: MIT */
/* The command line in the device tree (Devicetree Specification, "Flattened Devicetree (DTB)
 * Format"). */
#include "kernel.h"

enum { MAGIC = 0xd00dfeed, BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4 };
enum { MAGIC_WORD = 0, STRUCTURE = 2, STRINGS = 3 }; /* words of the header */

static uint32_t big_endian(const uint32_t *word)
{
	const uint8_t *byte = (const uint8_t *)word;

	return (uint32_t)byte[0] << 24 | byte[1] << 16 | byte[2] << 8 | byte[3];
}

/* Called by boot.S: the physical address of the command line in the tree at one; 0 if there is
 * none. */
uint32_t device_tree_arguments(unsigned long tree);

uint32_t device_tree_arguments(unsigned long tree)
{
	const uint32_t *header = virtual(tree), *word;
	const char *strings;

	if (big_endian(&header[MAGIC_WORD]) != MAGIC)
		return 0;
	word = (const uint32_t *)((const char *)header + big_endian(&header[STRUCTURE]));
	strings = (const char *)header + big_endian(&header[STRINGS]);
	for (;;) {
		size_t length = 0; /* of what follows the token */

		switch (big_endian(word++)) {
		case BEGIN_NODE:
			length = strlen((const char *)word) + 1;
			break;
		case PROPERTY:
			length = big_endian(&word[0]);
			if (!strcmp(strings + big_endian(&word[1]), "bootargs"))
				return physical(word + 2);
			word += 2;
			break;
		case END_NODE:
		case NOP:
			break;
		default:
			return 0;
		}
		word += (length + sizeof(*word) - 1) / sizeof(*word);
	}
}
