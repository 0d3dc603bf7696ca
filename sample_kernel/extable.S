/* SPDX-License-Identifier: MIT */
/* An access that may fault, in assembly: the word at rdi, or rsi if there is none. */
#include "bp_extable.h"

	.text
	.globl load_or
	.type load_or, @function
load_or:
1:	movq (%rdi), %rax
	ret
2:	movq %rsi, %rax
	ret
	.size load_or, . - load_or
	BP_EXTABLE(1b, 2b)

	.section .note.GNU-stack, "", @progbits
