/* SPDX-License-Identifier: MIT */
/* For virt/poke.c: page tables and caches, without pv ops. */
#ifndef POKE_H
#define POKE_H

#include "sbi.h"

static inline void use_root(unsigned long root)
{
	__asm__ volatile("csrw satp, %0; sfence.vma" : : "r"(root) : "memory");
}

/* Makes code that was written visible to the instruction fetch of all harts: FENCE.I is of the hart
 * that executes it (The RISC-V Instruction Set Manual, vol. I, "Zifencei"), so the firmware
 * executes it on the others. */
static inline void publish(uintptr_t site, uint32_t length)
{
	(void)site, (void)length;
	__asm__ volatile("fence.i" : : : "memory");
	sbi(SBI_RFENCE, SBI_REMOTE_FENCE_I, 0, SBI_ALL_HARTS, 0, 0);
}

#endif
