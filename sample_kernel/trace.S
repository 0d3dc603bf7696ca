/* SPDX-License-Identifier: MIT */
/* What every C function calls at its entry (-pg -mfentry): nothing, or the tracer. Both keep all registers. */
	.text
	.globl __fentry__, trace_entry
	.type __fentry__, @function
	.type trace_entry, @function
__fentry__:
	ret
	.size __fentry__, . - __fentry__

trace_entry:
	incl trace_count /* the flags mean nothing at the entry of a function */
	ret
	.size trace_entry, . - trace_entry

	.section .note.GNU-stack, "", @progbits
