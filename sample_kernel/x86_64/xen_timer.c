/* SPDX-License-Identifier: MIT */
/* Ticks under Xen: each processor's virtual timer, whose interrupts are events. */
#include "kernel.h"
#include "xen.h"

enum { BIND_VIRQ = 1, UNMASK = 9, VIRQ_TIMER = 0 };
enum { SET_PERIODIC = 6, STOP_PERIODIC = 7, SET_SINGLE = 8, STOP_SINGLE = 9 };
enum { PERIOD = 4000000 }; /* nanoseconds */

static uint32_t port;

static void vcpu_op(unsigned command, const void *argument)
{
	xen_must(XEN_VCPU_OP, command, 0, (uintptr_t)argument, 0);
}

static void stop(void)
{
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

static void start(void)
{
	uint64_t period = PERIOD;

	vcpu_op(SET_PERIODIC, &period);
}

static void once(void)
{
	struct {
		uint64_t at;
		uint32_t flags, padding;
	} now = {0};

	vcpu_op(SET_SINGLE, &now);
}

static bool pending(void)
{
	xen_must(XEN_SCHED_OP, XEN_SCHED_YIELD, 0, 0, 0);
	return xen_shared->pending[port / 64] >> port % 64 & 1;
}

static bool acknowledge(void)
{
	uint64_t bit = 1ul << port % 64;

	__atomic_store_n(&xen_vcpu.pending, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&xen_vcpu.pending_words, 0, __ATOMIC_SEQ_CST);
	return __atomic_fetch_and(&xen_shared->pending[port / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

const struct timer xen_timer = {init, start, once, stop, pending, acknowledge};
