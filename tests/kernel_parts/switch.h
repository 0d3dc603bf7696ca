/* SPDX-License-Identifier: MIT */
/*
 * Switches of backends by the first processor, while two processors run the sites, in what their timers interrupt and in
 * the handlers, and check each result. The default of an op says 1, and the backends say 2 and 3.
 */
#include "host.h"
#include "live.h"

enum { SWITCHES = 10000, ROOM = 64, PATIENCE = 1000, STACK = 0x4000, CHECKS = 8 };

#ifndef OTHERS
#define OTHERS 1
#endif

struct pair {
	bp_uintptr_t a, b;
};

/* The kernel's: a site of several instructions, which sets both to the same number; a check of the ops of interrupts. */
static inline struct pair number(void);
static inline void check_irqs(void);
static void irqs_off(void);
static void irqs_on(void);
static void start_second(void);
static void start_timer(void); /* of this processor */
static void summon(struct bp_live *live);

static const struct bp_backend *const backends[] = {0, &bp_paravirt_one, &bp_paravirt_two};
extern bp_uint8_t second_stack[STACK];
bp_uint32_t count; /* of the calls of boot.S's defaults */
static bp_uint32_t timers[2]; /* interrupts, of each processor */
static bp_uint32_t round, stop, stopped, checks; /* round: twice the number of switches; odd during one */
static struct bp_live live;
static struct bp_change changes[ROOM];

/* One of the backends answers; if there was no switch meanwhile, the current one. */
static NOINLINE void check(void)
{
	bp_uint32_t before = __atomic_load_n(&round, __ATOMIC_SEQ_CST), after;
	struct pair said = number();
	bp_uintptr_t ticks = (bp_uintptr_t)tick(), current;

	after = __atomic_load_n(&round, __ATOMIC_SEQ_CST);
	current = before / 2 % 3 + 1;
	expect(said.a == said.b, "a site was changed in front of a processor inside of it");
	expect(said.a - 1 < 3 && ticks - 1 < 3, "a site has no code of a backend");
	if (before == after && !(before & 1))
		expect(said.a == current && ticks == current, "a site has code of another backend");
}

/* Only the second processor attends; the first one applies, and is in no site then. */
static int inside(const struct bp_live *live, const void *frame)
{
	const bp_uintptr_t *word = frame;

#ifdef INSIDE_NEVER
	return 0;
#endif
	if (!frame)
		return 0;
	expect((const bp_uint8_t *)frame >= second_stack && (const bp_uint8_t *)frame < second_stack + STACK,
	       "the frame is on no stack");
	for (; word < (const bp_uintptr_t *)(second_stack + STACK); word++)
		if (bp_live_inside(live, *word))
			return 1;
	return 0;
}

static void timer_interrupt(int processor)
{
	timers[processor]++;
	check();
}

_Noreturn void second_main(void)
{
	start_timer();
	irqs_on();
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		check();
		check_irqs();
		__atomic_store_n(&checks, checks + 1, __ATOMIC_RELEASE);
	}
	irqs_off();
	__atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
	for (;;)
		;
}

/* Returns how often a change had to be tried again. */
static bp_uint32_t switch_once(const struct bp_backend *from, const struct bp_backend *to)
{
	bp_uint32_t room = ROOM, again = 0, i;
	int done;
	struct bp_status status =
	    bp_changes(&bp_paravirt, from, to, kernel_start, kernel_end, changes, &room);

	expect(!status.error, bp_error(status.error));
	expect(room && room <= ROOM, "there are more changes than room");
	for (;;) {
		irqs_off();
		done = bp_live_apply(&live, changes, room);
		irqs_on();
		if (done)
			return again;
		expect(++again < PATIENCE, "a site is never left");
		for (i = 0; i < again; i++)
			check_irqs();
	}
}

static void print_number(const char *what, bp_uint32_t number)
{
	char digits[11], *first = &digits[10];

	for (*first = 0; first == &digits[10] || number; number /= 10)
		*--first = (char)('0' + number % 10);
	print(what);
	print(first);
}

static _Noreturn void switch_backends(void)
{
	bp_uint32_t again = 0, i, j;

	live = (struct bp_live){.write = bp_write, .others = OTHERS, .summon = summon, .inside = inside};
	start_second();
	while (!__atomic_load_n(&checks, __ATOMIC_ACQUIRE)) /* one that is starting may lose an interrupt */
		;
	start_timer();
	irqs_on();
	for (i = 0; i < SWITCHES; i++) {
		__atomic_store_n(&round, 2 * i + 1, __ATOMIC_SEQ_CST);
		again += switch_once(backends[i % 3], backends[(i + 1) % 3]);
		__atomic_store_n(&round, 2 * i + 2, __ATOMIC_SEQ_CST);
		for (j = 0; j < CHECKS; j++) {
			check();
			check_irqs();
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stopped, __ATOMIC_ACQUIRE))
		;
	irqs_off();
	dump();
	print_number("switched: ", i);
	print_number(" again ", again);
	print_number(" checks ", checks);
	print_number(" timers ", timers[0]);
	print_number(" ", timers[1]);
	print("\n");
	deep();
	end(3);
}
