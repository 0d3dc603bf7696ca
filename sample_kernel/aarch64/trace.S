/* SPDX-License-Identifier: MIT */
/* What every C function calls at its entry (-pg), by the C convention: a return, or the tracer. */
#include "function.h"

	.text
	function _mcount
	end _mcount

	function trace_entry
	adrp x9, trace_count
	ldr w10, [x9, :lo12:trace_count]
	add w10, w10, #1
	str w10, [x9, :lo12:trace_count]
	end trace_entry

	.section .note.GNU-stack, "", @progbits
