/* SPDX-License-Identifier: MIT */
/*
 * Ticks under Xen: each processor's virtual timer, whose interrupts are events. One shot requests
 * the next, as the periodic timer does not wake a processor that waits.
 */
#include "kernel.h"
#include "xen.h"

enum { BIND_VIRQ = 1, UNMASK = 9, VIRQ_TIMER = 0 };
enum { STOP_PERIODIC = 7, SET_SINGLE = 8, STOP_SINGLE = 9 };
enum { PERIOD = 4000000 }; /* nanoseconds */

static uint32_t port;
static bool periodic;

/* Nanoseconds since Xen's start: struct vcpu_time_info, and the cycles since it was written. */
static uint64_t now(void)
{
	const volatile uint64_t *time = xen_vcpu.time;
	uint64_t version, cycles, base, factor;
	int8_t shift;

	do {
		version = time[0];
		cycles = rdtsc() - time[1];
		base = time[2];
		factor = time[3];
	} while (version & 1 || version != time[0]);
	shift = factor >> 32;
	cycles = shift < 0 ? cycles >> -shift : cycles << shift;
	return base + (uint64_t)((unsigned __int128)cycles * (uint32_t)factor >> 32);
}

static void vcpu_op(unsigned command, const void *argument)
{
	xen_must(XEN_VCPU_OP, command, 0, (uintptr_t)argument, 0);
}

static void stop(void)
{
	periodic = false;
	vcpu_op(STOP_PERIODIC, NULL);
	vcpu_op(STOP_SINGLE, NULL);
}

static void init(void)
{
	struct {
		uint32_t virq, vcpu, port;
	} bound = {VIRQ_TIMER, 0, 0};

	stop();
	xen_must(XEN_EVENT_CHANNEL_OP, BIND_VIRQ, (uintptr_t)&bound, 0, 0);
	port = bound.port;
	xen_must(XEN_EVENT_CHANNEL_OP, UNMASK, (uintptr_t)&port, 0, 0);
}

static void request(uint64_t time)
{
	struct {
		uint64_t time;
		uint32_t flags, padding;
	} shot = {.time = time};

	vcpu_op(SET_SINGLE, &shot);
}

static void start(void)
{
	periodic = true;
	request(now() + PERIOD);
}

static void once(void)
{
	request(0); /* a time in the past */
}

static bool pending(void)
{
	xen_must(XEN_SCHED_OP, XEN_SCHED_YIELD, 0, 0, 0);
	return xen_shared->pending[port / 64] >> port % 64 & 1;
}

static bool acknowledge(void)
{
	uint64_t bit = 1ul << port % 64, was;

	__atomic_store_n(&xen_vcpu.pending, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&xen_vcpu.pending_words, 0, __ATOMIC_SEQ_CST);
	was = __atomic_fetch_and(&xen_shared->pending[port / 64], ~bit, __ATOMIC_SEQ_CST);
	if (periodic) /* at last: an event that is pending already is not told again */
		request(now() + PERIOD);
	return was & bit;
}

const struct timer xen_timer = {init, start, once, stop, pending, acknowledge};
