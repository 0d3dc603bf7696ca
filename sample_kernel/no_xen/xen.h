/* SPDX-License-Identifier: MIT */
/* For architectures without Xen, which refuses 32-bit PV domains. x86_64's xen.h says what the
 * names mean. */
#ifndef XEN_H
#define XEN_H

#ifdef __ASSEMBLER__
/* clang-format off */
	.macro under_xen other
	.endm
/* clang-format on */
#else
#include <stdbool.h>
#include <stdint.h>

static const bool xen_running = false;

static inline bool xen_pvh(void)
{
	return false;
}

struct bp_backend;
static inline bool xen_switch_test(uint32_t number, const struct bp_backend *chosen)
{
	(void)number, (void)chosen;
	return false;
}

static inline void xen_load_traps(void)
{
}

static inline void xen_write(void *to, const void *from, uint32_t size)
{
	(void)to, (void)from, (void)size;
}

static inline void xen_paging_init(const void *root, const void *tables, unsigned long size)
{
	(void)root, (void)tables, (void)size;
}

#define XEN_VENDOR ""
#define XEN_TIMER_OR(other) (other)
#define XEN_CHOICE
#endif

#endif
