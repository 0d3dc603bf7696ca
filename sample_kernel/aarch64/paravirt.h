/* SPDX-License-Identifier: MIT */
/*
 * The pv ops: what the kernel does through a backend. Each is a call that declares the registers
 * that it uses; all of them write x30, and x16 and x17, as a linker may lead them through a veneer.
 * paravirt.toml declares that references to these symbols are sites, what an implementation may
 * write, and what each backend provides.
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
#define PV(op) bl pv_##op
#define PV_ROOM(op) bp_call_8 pv_##op
#else
#define PV_CALL(op) "bl pv_" op
#define PV_CALLED "x16", "x17", "x30"
#define PV_REGISTER "x0" /* of an argument or a result, where the name has none */
#define PV_NOT_ZERO(value)

/* The native code of these two is longer than a call. */
#define PV_FLUSH_TLB BP_CALL_16("pv_flush_tlb")
#define PV_WRITE_ROOT BP_CALL_8("pv_write_root")
#endif

#include "ops.h"

#ifndef __ASSEMBLER__
/*
 * Sets an entry and goes on to the next one, as one instruction can: it would take another one
 * behind pv_set_pte.
 */
static inline __attribute__((always_inline)) void pv_set_pte_next(unsigned long **entry,
								  unsigned long pte)
{
#ifdef NO_PARAVIRT
	pv_set_pte(*entry, pte);
	++*entry;
#else
	register unsigned long *first __asm__(PV_REGISTER) = *entry;

	__asm__ volatile(PV_CALL("set_pte_next_%1") : "+r"(first) : "r"(pte) : PV_CALLED, "memory");
	*entry = first;
#endif
}

/* A call of the firmware (Arm Power State Coordination Interface, DEN 0022), by the C convention.
 */
long pv_psci(unsigned long function, unsigned long a, unsigned long b, unsigned long c);
#endif

#endif
