/* SPDX-License-Identifier: MIT */
/*
 * Work with the sample kernel's unprivileged ops, in a process, timed by the time stamp counter.
 * With an argument it first patches itself to native. Prints the lowest cycles of each work, a line
 * each.
 */
#include "bp_paravirt.h"
#include "paravirt.h"

enum {
	ENTRIES = 512,
	ROUNDS = 20,
	TRIES = 400,
	SYS_WRITE = 1,
	SYS_MPROTECT = 10,
	SYS_EXIT = 60,
	RWX = 7
};

static unsigned long table[ENTRIES];
static volatile unsigned long result;

static long system_call(long number, unsigned long a, unsigned long b, unsigned long c)
{
	long value;

	__asm__ volatile("syscall"
			 : "=a"(value)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return value;
}

static void leave(int status)
{
	system_call(SYS_EXIT, status, 0, 0);
}

static void print(unsigned long value)
{
	char text[21], *digit = text + sizeof(text);

	*--digit = '\n';
	do
		*--digit = '0' + value % 10;
	while (value /= 10);
	system_call(SYS_WRITE, 1, (unsigned long)digit, text + sizeof(text) - digit);
}

static unsigned long cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (unsigned long)high << 32 | low;
}

static __attribute__((noinline)) void pte(void)
{
	unsigned long sum = 0, address = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned long *entry = table; entry < table + ENTRIES; entry++) {
			unsigned long pte = pv_make_pte(address | PTE_PRESENT | PTE_WRITE);

			pv_set_pte(entry, pte);
			sum += pv_pte_val(pte);
			address += PAGE_SIZE;
		}
	}
	result = sum;
}

static __attribute__((noinline)) void flags(void)
{
	for (unsigned i = 0; i < ROUNDS * ENTRIES; i++)
		pv_irq_restore(pv_irq_save());
}

/* Ops that are not measured; paravirt.toml has them. */
void pv_load_segments(void)
{
}

void pv_load_traps(void)
{
}

static unsigned long least(void (*work)(void))
{
	unsigned long found = -1ul;

	for (unsigned i = 0; i < TRIES; i++) {
		unsigned long start = cycles(), took;

		work();
		took = cycles() - start;
		if (took < found)
			found = took;
	}
	return found;
}

void run(int arguments);

void run(int arguments)
{
	extern char __executable_start[], _end[];

	if (arguments > 1) {
		struct bp_status status;

		if (system_call(SYS_MPROTECT, (unsigned long)__executable_start,
				_end - __executable_start, RWX))
			leave(1);
		status = bp_fixup(&bp_paravirt, &bp_paravirt_native, __executable_start, _end,
				  bp_write, 0);
		if (status.error)
			leave(2);
	}
	print(least(pte));
	print(least(flags));
	leave(0);
}

__asm__(".globl _start\n"
	"_start:\n\t"
	"movl (%rsp), %edi\n\t"
	"andq $-16, %rsp\n\t"
	"call run\n\t"
	"hlt");
