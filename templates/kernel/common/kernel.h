/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_H
#define KERNEL_H

/* kernel.lds: the bounds of the image in memory, which contains the stack. */
extern const char kernel_start[], kernel_end[];

/* console.c: writes a character to the serial port; ends QEMU, or stops the processor. */
void put_char(char letter);
_Noreturn void stop(void);

/* print.c */
void print(const char *text);
void print_line(const char *text);

/* panic.c: prints why, and the functions that led here, and stops. */
_Noreturn void panic(const char *why);

#endif
