/* SPDX-License-Identifier: MIT */
/* What the foreign kernels have in common: a line on the serial port, and a panic that shows where
 * it came from. */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void print(const char *text);
void print_address(uintptr_t address);
__attribute__((noreturn)) void panic(const char *text);
__attribute__((noreturn)) void halt(void);
int kernel_main(void);

#ifdef __cplusplus
}
#endif
