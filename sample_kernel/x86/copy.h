/* SPDX-License-Identifier: MIT */
/* A copy that ends at the first fault, by the table of faults. */
#ifndef COPY_H
#define COPY_H

#include "bp_extable.h"

/* Returns the number of bytes that were not copied. */
static inline unsigned long copy_until_fault(void *to, const void *from, unsigned long size)
{
	__asm__ volatile("1: rep movsb\n2:\n" BP_EXTABLE("1b", "2b")
			 : "+D"(to), "+S"(from), "+c"(size)
			 :
			 : "memory");
	return size;
}

#endif
