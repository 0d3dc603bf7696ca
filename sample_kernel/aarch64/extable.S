/* SPDX-License-Identifier: MIT */
/* An access that may fault, in assembly: returns the word at the first argument, or the second if it faults. */
#include "bp_extable.h"
#include "function.h"

	.text
	function load_or
1:	ldr x0, [x0]
	ret
2:	mov x0, x1
	end load_or
	BP_EXTABLE(1b, 2b)

	.section .note.GNU-stack, "", @progbits
