/* SPDX-License-Identifier: MIT */
/* The second processor, which the firmware starts at ap_start of boot.S, on its page table. */
#include "smp.h"
#include "paravirt.h"
#include "start.h"

enum { PROCESSORS = 8, INDEX = (1 << PAGING_INDEX) - 1 };

extern unsigned long boot_root[1 << PAGING_INDEX];
extern const char ap_start[];

char ap_stack[AP_STACK] __attribute__((aligned(16)));
static volatile bool running;

/* Called by boot.S. */
_Noreturn void ap_main(void);

_Noreturn void ap_main(void)
{
	pv_write_root(paging_root());
	interrupts_init();
	smp_listen();
	running = true;
	smp_main();
	for (;;)
		__asm__ volatile("wfi");
}

/* Of memory at its own address, as processors start without address translation. */
static unsigned long *boot_entry(unsigned long address)
{
	return &boot_root[address >> PAGING_TOP & INDEX];
}

bool smp_start(void)
{
	unsigned long start = physical(ap_start);
	bool started = false;

	*boot_entry(start) = *boot_entry((uintptr_t)ap_start);
	pv_flush_tlb();
	for (unsigned long i = 0; i < PROCESSORS && !started; i++)
		started = smp_start_processor(i, start);
	while (started && !running)
		__asm__ volatile(PAUSE);
	*boot_entry(start) = 0;
	pv_flush_tlb();
	return started;
}
