/* SPDX-License-Identifier: MIT */
/* A copy that ends at the first fault, by the table of faults. */
#ifndef COPY_H
#define COPY_H

#include "bp_extable.h"

/* Returns the number of bytes that were not copied. */
static inline unsigned long copy_until_fault(void *to, const void *from, unsigned long size)
{
	unsigned long byte;

	__asm__ volatile("	cbz %2, 3f\n"
			 "1:	ldrb %w3, [%1]\n"
			 "2:	strb %w3, [%0]\n"
			 "	add %0, %0, #1\n"
			 "	add %1, %1, #1\n"
			 "	sub %2, %2, #1\n"
			 "	cbnz %2, 1b\n"
			 "3:\n" BP_EXTABLE("1b", "3b") BP_EXTABLE("2b", "3b")
			 : "+r"(to), "+r"(from), "+r"(size), "=&r"(byte)
			 :
			 : "memory");
	return size;
}

#endif
