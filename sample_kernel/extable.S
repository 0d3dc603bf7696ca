/* SPDX-License-Identifier: MIT */
/* An access that may fault, in assembly: returns the word at the first argument, or the second if it faults. */
#include "bp_extable.h"
#include "x86.h"

	.text
	.globl load_or
	.type load_or, @function
load_or:
1:	mov (ARG1), AX
	ret
2:	mov ARG2, AX
	ret
	.size load_or, . - load_or
	BP_EXTABLE(1b, 2b)

	.section .note.GNU-stack, "", @progbits
