/* SPDX-License-Identifier: MIT */
/* The memory functions of the C library that compilers call, and two more. */
#include "kernel.h"

void *memcpy(void *to, const void *from, size_t size)
{
	copy_bytes(to, from, size);
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	for (char *t = to; size--;)
		t[size] = ((const char *)from)[size];
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	set_bytes(to, byte, size);
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	for (const uint8_t *x = a, *y = b; size; x++, y++, size--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return end - text;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (uint8_t)*a - (uint8_t)*b;
}
