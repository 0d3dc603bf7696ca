/* SPDX-License-Identifier: MIT */
/* Accesses that may fault. By probe_ip, probe_recover (check_traps.c) recognises their faults. */
#include "function.h"

	.text

	function probe_write
	lla t0, 1f
	lla t1, probe_ip
	sd t0, 0(t1)
1:	sb a1, 0(a0)
	li a0, 1
	end probe_write

	/* When a fetch faults, sepc is the target's address, and the return address is in ra. */
	function probe_execute
	lla t1, probe_ip
	sd a0, 0(t1)
	mv t0, a0
	li a0, 1
	jr t0
	.size probe_execute, . - probe_execute

	function probe_faulted
	li a0, 0
	end probe_faulted

	.section .note.GNU-stack, "", @progbits
