/* SPDX-License-Identifier: MIT */
/* A copy that ends at the first fault, by the table of faults. */
#ifndef COPY_H
#define COPY_H

#include "bp_extable.h"

/* Returns the number of bytes that were not copied. */
static inline unsigned long copy_until_fault(void *to, const void *from, unsigned long size)
{
	unsigned long byte;

	__asm__ volatile("	beqz %2, 3f\n"
			 "1:	lb %3, 0(%1)\n"
			 "2:	sb %3, 0(%0)\n"
			 "	addi %0, %0, 1\n"
			 "	addi %1, %1, 1\n"
			 "	addi %2, %2, -1\n"
			 "	bnez %2, 1b\n"
			 "3:\n" BP_EXTABLE("1b", "3b") BP_EXTABLE("2b", "3b")
			 : "+r"(to), "+r"(from), "+r"(size), "=&r"(byte)
			 :
			 : "memory");
	return size;
}

#endif
