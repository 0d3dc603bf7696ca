/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does through a backend. Each is a call that declares the registers
 * that it uses; all of them write ra. paravirt.toml declares that references to these symbols are
 * sites, what an implementation may write, and what each backend provides.
 *
 * Compiled with NO_PARAVIRT the ops are only native.h's instructions.
 */
#ifndef PARAVIRT_H
#define PARAVIRT_H

#include "arch.h"
#include "buildplug.h"

#ifdef NO_PARAVIRT
#include "native.h"
#elif defined(__ASSEMBLER__)
#define PV(op) call pv_##op
#define PV_ROOM(op) bp_call_12 pv_##op
#else
#define PV_CALL(op) "call pv_" op
#define PV_CALLED "ra"
#define PV_REGISTER "a0" /* of an argument or a result, where the name has none */
#define PV_FLUSH_TLB PV_CALL("flush_tlb")
#define PV_WRITE_ROOT PV_CALL("write_root")

/* Some compilers have a constant 0 in the register "zero", for which there is no op. */
#define PV_NOT_ZERO(value)                                                                         \
	do {                                                                                       \
		if (__builtin_constant_p(value))                                                   \
			__asm__("" : "+r"(value));                                                 \
	} while (0)
#endif

#include "ops.h"

#ifndef __ASSEMBLER__
void pv_put(unsigned long byte); /* to the console, by the C convention */
#endif

#endif
