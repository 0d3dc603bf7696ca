/* SPDX-License-Identifier: MIT */
/* Accesses that may fault. By probe_ip, probe_recover (check_traps.c) recognises their faults. */
#include "function.h"

	.text

	function probe_write
	adr x9, 1f
	adrp x10, probe_ip
	str x9, [x10, :lo12:probe_ip]
1:	strb w1, [x0]
	mov x0, #1
	end probe_write

	/* When a fetch faults, elr_el1 is the target's address, and the return address is in x30. */
	function probe_execute
	adrp x10, probe_ip
	str x0, [x10, :lo12:probe_ip]
	mov x9, x0
	mov x0, #1
	br x9
	.size probe_execute, . - probe_execute

	function probe_faulted
	mov x0, #0
	end probe_faulted

	.section .note.GNU-stack, "", @progbits
