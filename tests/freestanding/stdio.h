/* What ksyms_host's program needs of a C library, by system calls alone. */
#ifndef FREESTANDING_H
#define FREESTANDING_H

#include <stddef.h>
#include <stdint.h>

#define stdin 0
#define stdout 1

void exit(int status) __attribute__((noreturn));
void abort(void) __attribute__((noreturn));
void *malloc(size_t size);
void free(void *last); /* the allocations end in reverse */
size_t fread(void *to, size_t size, size_t count, int file);
void fflush(int file);
int puts(const char *text);
int printf(const char *format, ...); /* %x %lx %zx, and %u below ten; a width pads with zeros */
void *memchr(const void *in, int wanted, size_t size);

#endif
