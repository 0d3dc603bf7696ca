/* SPDX-License-Identifier: MIT */
/*
 * The interfaces of the kernel's files, one paragraph a file. The pv ops are in paravirt.h, the
 * shim's interface in shim.h, that of the checks in check.h.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"

/* kernel.lds: the bounds of the image and of its sections. */
extern char kernel_start[], kernel_end[];
extern char text_start[], rodata_start[], data_start[];

/* string.c */
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);

/* serial.c, or for QEMU's virt ARCH/console.c */
void serial_init(void);
void serial_write(char byte);

/* print.c: %s, and %u %x %lu %lx with a width and a leading 0. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* command_line.c */
void command_line_init(uint32_t address); /* physical; 0 if there is none */
const char *command_line_value(const char *key);
bool command_line_has(const char *word);

/* poke.c: the bp_write_fn for fixup, and what makes bp_write possible. */
void poke(void *context, void *site, const void *bytes, uint32_t length);
unsigned long poke_begin(void); /* lets this processor write to all memory; interrupts are off */
void poke_end(unsigned long begun);

/* paging.c */
void paging_init(void);
unsigned long paging_root(void); /* what pv_read_root returns */
void paging_protect(const void *page, bool writable);
unsigned long *paging_entry(const void *address);

/* entry.S */
struct frame {
#define WORD_OF(name) unsigned long name;
	FRAME(WORD_OF) /* irq: what pv_irq_save returned at the entry */
};

/* interrupts.c */
extern uint32_t breakpoints;		   /* seen so far */
extern unsigned long breakpoint_irq_state; /* irq_state() while the last one was handled */
/* The kernel's interrupt flag and the processor's. */
enum { KERNEL_IF = 1, PROCESSOR_IF = 2 };
unsigned long irq_state(void);
void interrupts_init(void);

/* extable.c: if the table has the frame's instruction, makes the frame continue at its fixup. */
bool extable_recover(struct frame *frame);

/* timer.c */
extern volatile unsigned long ticks; /* delivered so far */
void timer_init(void);
void timer_start(void);
void timer_once(void); /* requests one interrupt, in a microsecond or two */
void timer_stop(void);
void timer_interrupt(unsigned long irq);
bool timer_pending(void); /* whether a tick is pending until interrupts are enabled */
struct timer {
	void (*init)(void), (*start)(void), (*once)(void), (*stop)(void);
	bool (*pending)(void), (*acknowledge)(void); /* acknowledge: whether it was the timer's */
};
extern const struct timer machine_timer; /* pit.c, or ARCH/timer.c */

/* backtrace.c: from the instruction at `ip` on, whose function's frame is at `bp`. */
void backtrace(unsigned long ip, unsigned long bp);

/* main.c: of the backend that the sites hold; "default" without fixup */
extern const char *backend_name;

/* work.c */
_Noreturn void work_run(const char *name);

/* panic.c */
_Noreturn void finish(bool good);
_Noreturn void panic(const char *text);
_Noreturn void panic_trap(const struct frame *frame);

#endif
