/* SPDX-License-Identifier: MIT */
/* Harts and interrupts between them by SBI, and the part of load.c that is of riscv64 alone. */
#include "smp.h"
#include "paravirt.h"
#include "sbi.h"
#include "start.h"

extern const char live_entry[]; /* live_entry.S */

static unsigned long second;

bool smp_start_processor(unsigned long number, unsigned long start)
{
	second = number;
	return !sbi(SBI_HSM, SBI_HART_START, number, start, 0, 0);
}

void smp_listen(void)
{
	__asm__ volatile("csrw stvec, %0; csrs sie, %1" : : "r"(live_entry), "r"(SSIE));
}

void smp_summon(void)
{
	if (sbi(SBI_IPI, SBI_SEND_IPI, 1, second, 0, 0))
		panic("no interrupt");
}

void smp_acknowledge(void)
{
	__asm__ volatile("csrc sip, %0" : : "r"(SSIE) : "memory");
}

bool load_plausible(unsigned long flags)
{
	return !(flags & ~(unsigned long)FLAGS_IF);
}

void load_cpu(void)
{
	unsigned long flags = read_flags();

	flags_off();
	pv_set_timer(read_time() + 1);
	EXPECT(!flags_are_on(read_flags()));
	write_flags(flags);
}
