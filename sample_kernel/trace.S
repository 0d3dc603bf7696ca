/* SPDX-License-Identifier: MIT */
/* What every C function calls at its entry (-pg -mfentry): a return, or the tracer. Both keep all registers. */
	.text
	.globl __fentry__, trace_entry
	.type __fentry__, @function
	.type trace_entry, @function
__fentry__:
	ret
	.size __fentry__, . - __fentry__

trace_entry:
	incl trace_count /* flags are not live at the entry of a function */
	ret
	.size trace_entry, . - trace_entry

	.section .note.GNU-stack, "", @progbits
