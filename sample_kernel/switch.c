/* SPDX-License-Identifier: MIT */
/* Switches backends while two processors, and both their timer interrupts, run load.c. */
#include "bp_paravirt.h"
#include "paravirt.h"
#include "shim.h"
#include "smp.h"
#include "xen.h"

enum { ROOM = 256, PATIENCE = 200, PAUSES = 1000, HALTS = 256, FORGOTTEN = 1024 };

static struct bp_change changes[ROOM];
static const struct bp_backend *current;
static bool stop, stopped, inside_never;
static uint32_t loads, timers, again;
struct bp_live live;
uint32_t live_traps;

/* The callbacks for live.h. Only the second processor attends; the first applies. */

static void summon(struct bp_live *live)
{
	(void)live;
	smp_summon();
}

static int inside(const struct bp_live *live, const void *frame)
{
	if (!frame || inside_never)
		return 0; /* this test is not called from a site */
	for (const uintptr_t *word = frame; word < (const uintptr_t *)(ap_stack + AP_STACK); word++)
		if (bp_live_inside(live, *word))
			return 1;
	return 0;
}

void summoned(const void *frame)
{
	smp_acknowledge();
	bp_live_attend(&live, frame);
}

void smp_timer_interrupt(void)
{
	__atomic_add_fetch(&timers, 1, __ATOMIC_RELAXED);
}

/*
 * Clears the stack that the functions of load.c will use: a word that an interrupt has left there,
 * and that no function writes, would look like an address inside of a site for ever.
 */
static __attribute__((noinline)) void forget(void)
{
	char used[FORGOTTEN];

	memset(used, 0, sizeof(used));
	__asm__ volatile("" : : "r"(used) : "memory");
}

void smp_main(void)
{
	smp_timer_start();
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		forget();
		load();
		load_entry();
		if (++loads % HALTS == 0)
			pv_halt(); /* until the timer's next interrupt */
	}
	smp_timer_stop();
	load_flags_off();
	__atomic_store_n(&stopped, true, __ATOMIC_RELEASE);
}

/* The switches. */

static bool apply(uint32_t count)
{
	unsigned long state;
	bool done;

	load_flags_off();
	state = poke_begin();
	done = bp_live_apply(&live, changes, count);
	poke_end(state);
	load_flags_on();
	return done;
}

static void switch_to(const struct bp_backend *to, bool plain)
{
	uint32_t count = ROOM, tries = 0;
	struct bp_status status;

	if (plain)
		status = bp_switch(&bp_paravirt, current, to, kernel_start, kernel_end, poke, NULL);
	else
		status = bp_changes(&bp_paravirt, current, to, kernel_start, kernel_end, changes,
				    &count);
	if (status.error || count > ROOM)
		panic("switch failed");
	while (!plain && !apply(count)) {
		again++;
		if (++tries == PATIENCE)
			panic("a site is never left");
		for (unsigned i = 0; i < PAUSES * tries; i++)
			__asm__ volatile(PAUSE);
	}
	current = to;
}

/* Checks without writing that every site is as linked. */
static bool as_linked(void)
{
	return !bp_fixup(&bp_paravirt, &bp_paravirt_native, kernel_start, kernel_end, NULL, NULL)
		    .error;
}

bool switch_test(const char *times, const struct bp_backend *chosen)
{
	bool plain = command_line_has("poke=plain"), linked;
	const struct bp_backend *bare =
	    chosen && chosen != &bp_paravirt_shim ? chosen : &BARE_BACKEND;
	uint32_t number = 0;

	while (*times)
		number = 10 * number + (*times++ - '0');
	if (xen_running)
		return xen_switch_test(number, chosen);
	inside_never = command_line_has("inside=never");
	current = chosen;
	load_flags_on();
	live = (struct bp_live){
	    .write = bp_write,
	    .others = smp_start(),
	    .summon = summon,
	    .inside = inside,
	};
	smp_timer_start();
	for (uint32_t i = 0; i < number; i++) {
		switch_to(current == bare ? &bp_paravirt_shim : bare, plain);
		load_backend(current == &bp_paravirt_shim);
		load();
	}
	switch_to(NULL, plain);
	linked = as_linked();
	switch_to(chosen, plain);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	while (live.others && !__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		__asm__ volatile(PAUSE);
	smp_timer_stop();
	load_flags_off();
	/* Restored for the other checks. */
	shim_if = shim_pending = 0;
	memset((void *)shim_calls, 0, sizeof(shim_calls));
	print("switches %u, processors %u, loads %u, timers %u, traps %u, again %u, shims %u\n",
	      number + 2, live.others + 1, loads, timers, live_traps, again, load_shims);
	print("switches: %u wrong, the last at line %u, %s\n", load_wrong, load_wrong_line,
	      linked ? "as linked" : "not as linked");
	return !load_wrong && linked;
}
