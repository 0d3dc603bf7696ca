/* SPDX-License-Identifier: MIT */
/* The entry point of each vector: makes all frames alike, and continues in entry.S. */
#include "x86.h"

/* The vectors for which the processor pushes an error code: 8, 10 to 14, 17, 21, 29, 30. */
#define WITH_ERROR 0x60227d00

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
