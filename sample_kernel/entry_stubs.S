/* SPDX-License-Identifier: MIT */
/* The entry point of each vector: makes all frames alike, and continues in entry.S. */
#include "x86.h"

	.text
	.balign 16
	.globl entry_stubs
entry_stubs:
	.set vector, 0
	.rept VECTORS
	.balign 16
	.if vector > 31 || !((WITH_ERROR >> vector) & 1)
	push $0
	.endif
	push $vector
	jmp entry
	.set vector, vector + 1
	.endr

	.section .note.GNU-stack, "", @progbits
