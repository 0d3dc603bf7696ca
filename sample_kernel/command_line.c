/* SPDX-License-Identifier: MIT */
/* The words of the command line, copied from the boot loader's memory before paging.c unmaps it.
 */
#include "kernel.h"

/* Zero-terminated words, then zeros. With multiboot the first is the path of the image. */
static char command_line[PAGE_SIZE];

void command_line_init(uint32_t address)
{
	const char *text = virtual(address);
	size_t length = address ? strlen(text) : 0;

	if (length >= sizeof(command_line))
		panic("the command line is too long");
	for (size_t i = 0; i < length; i++)
		command_line[i] = text[i] == ' ' ? 0 : text[i];
}

/* What follows key in the first word that starts with it; NULL if none does. */
const char *command_line_value(const char *key)
{
	size_t length = strlen(key);

	for (const char *word = command_line; word < command_line + sizeof(command_line);
	     word += strlen(word) + 1)
		if (!memcmp(word, key, length))
			return word + length;
	return NULL;
}

bool command_line_has(const char *word)
{
	const char *rest = command_line_value(word);

	return rest && !*rest;
}
