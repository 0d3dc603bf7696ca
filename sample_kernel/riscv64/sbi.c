/* SPDX-License-Identifier: MIT */
/* The backend "sbi": what the firmware does for the kernel. */
#include "sbi.h"

volatile uint32_t sbi_calls[SBI_OPS], sbi_errors;

void sbi_put(unsigned long byte);
void sbi_set_timer(unsigned long time);
void sbi_flush_tlb(void);

void sbi_put(unsigned long byte)
{
	sbi_calls[SBI_OP_PUT]++;
	sbi(SBI_CONSOLE_PUTCHAR, 0, byte, 0, 0, 0);
}

void sbi_set_timer(unsigned long time)
{
	sbi_calls[SBI_OP_SET_TIMER]++;
	sbi(SBI_TIME, SBI_SET_TIMER, time, 0, 0, 0);
}

/* Of all harts, for all addresses. Without a call of panic(), which the proof of clobbers takes for
 * one that returns.
 */
void sbi_flush_tlb(void)
{
	sbi_calls[SBI_OP_FLUSH_TLB]++;
	sbi_errors += !!sbi(SBI_RFENCE, SBI_REMOTE_SFENCE_VMA, 0, SBI_ALL_HARTS, 0, -1ul);
}
