/* SPDX-License-Identifier: MIT */
/* The interface of the firmware (RISC-V Supervisor Binary Interface Specification). */
#ifndef SBI_H
#define SBI_H

#include <stdint.h>

/* Extensions and their functions. */
#define SBI_CONSOLE_PUTCHAR 1
#define SBI_TIME 0x54494d45
#define SBI_SET_TIMER 0
#define SBI_RFENCE 0x52464e43
#define SBI_REMOTE_FENCE_I 0
#define SBI_REMOTE_SFENCE_VMA 1
#define SBI_IPI 0x735049
#define SBI_SEND_IPI 0
#define SBI_HSM 0x48534d
#define SBI_HART_START 0

#define SBI_ALL_HARTS -1ul /* as the base of the mask of harts */

/* sbi.c: the calls by the backend "sbi" of each kind, and the errors. */
enum sbi_op { SBI_OP_PUT, SBI_OP_SET_TIMER, SBI_OP_FLUSH_TLB, SBI_OPS };
extern volatile uint32_t sbi_calls[SBI_OPS], sbi_errors;

/* Returns the error; 0 if there is none. */
static inline long sbi(unsigned long extension, unsigned long function, unsigned long a,
		       unsigned long b, unsigned long c, unsigned long d)
{
	register unsigned long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c,
				  a3 __asm__("a3") = d;
	register unsigned long a6 __asm__("a6") = function, a7 __asm__("a7") = extension;

	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1)
			 : "r"(a2), "r"(a3), "r"(a6), "r"(a7)
			 : "memory");
	return a0;
}

#endif
