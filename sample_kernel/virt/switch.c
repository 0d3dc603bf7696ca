/* SPDX-License-Identifier: MIT */
/*
 * Switches backends on one processor, with interrupts off, and calls ops through sites of every
 * kind after each switch: the shim must count them all, or none. Page tables stay as they are, so
 * no op that reads or makes entries is called.
 */
#include "bp_paravirt.h"
#include "kernel.h"
#include "paravirt.h"
#include "shim.h"
#include "sites.h"
#include "smp.h"

static const struct bp_backend *current;
static uint32_t wrong, wrong_line;

static void expect(bool good, uint32_t line)
{
	if (good)
		return;
	wrong++;
	wrong_line = line;
}
#define EXPECT(good) expect(good, __LINE__)

static void switch_to(const struct bp_backend *to)
{
	if (bp_switch(&bp_paravirt, current, to, kernel_start, kernel_end, poke, NULL).error)
		panic("switch failed");
	current = to;
}

static void call_all(void)
{
	bool shim = current == &bp_paravirt_shim;
	unsigned long root = read_root();

	memset((void *)shim_calls, 0, sizeof(shim_calls));
	EXPECT(pv_read_root() == root && shim_calls[SHIM_READ_ROOT] == shim);
	EXPECT(site_address_root() == root && shim_calls[SHIM_READ_ROOT] == 2 * shim);
	EXPECT(site_pointers_data[0]() == root && shim_calls[SHIM_READ_ROOT] == 3 * shim);
	pv_flush_tlb();
	EXPECT(shim_calls[SHIM_FLUSH_TLB] == shim);
	site_tail_long();
	EXPECT(shim_calls[SHIM_FLUSH_TLB] == 2 * shim);
	EXPECT(site_tail_nothing() == 42 && shim_calls[SHIM_IO_DELAY] == shim);
	EXPECT(site_jz_nothing(0) == 42 && shim_calls[SHIM_IO_DELAY] == 2 * shim);
	EXPECT(site_jz_nothing(1) == 43 && shim_calls[SHIM_IO_DELAY] == 2 * shim);
	write_fault(0x1234567);
	EXPECT(pv_read_fault() == 0x1234567 && shim_calls[SHIM_READ_FAULT] == shim);
}

bool switch_test(const char *times, const struct bp_backend *chosen)
{
	uint32_t number = 0;
	bool linked;

	while (*times)
		number = 10 * number + (*times++ - '0');
	current = chosen;
	for (uint32_t i = 0; i < number; i++) {
		switch_to(current == &bp_paravirt_native ? &bp_paravirt_shim : &bp_paravirt_native);
		call_all();
	}
	switch_to(NULL);
	call_all();
	linked = !bp_fixup(&bp_paravirt, &bp_paravirt_native, kernel_start, kernel_end, NULL, NULL)
		      .error; /* without writing */
	switch_to(chosen);
	memset((void *)shim_calls, 0, sizeof(shim_calls));
	print("switches %u, processors 1\n", number + 2);
	print("switches: %u wrong, the last at line %u, %s\n", wrong, wrong_line,
	      linked ? "as linked" : "not as linked");
	return !wrong && linked;
}
