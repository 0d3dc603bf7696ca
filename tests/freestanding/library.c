#include <stdarg.h>
#include "stdio.h"

long sys(long number, long first, long second, long third);
int main(void);

static char arena[1 << 23] __attribute__((aligned(16)));
static size_t used;
static char said[4096];
static size_t pending;

void exit(int status)
{
	fflush(stdout);
	for (;;)
		sys(SYS_exit, status, 0, 0);
}

void abort(void)
{
	exit(134);
}

void start(void)
{
	exit(main());
}

void *malloc(size_t size)
{
	void *found = arena + used;

	used += (size + 15) & ~(size_t)15;
	if (used > sizeof(arena))
		abort();
	return found;
}

void free(void *last)
{
	used = (size_t)((char *)last - arena);
}

size_t fread(void *to, size_t size, size_t count, int file)
{
	size_t have = 0;
	long got;

	while (have < size * count) {
		got = sys(SYS_read, file, (long)((char *)to + have), (long)(size * count - have));
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	return have; /* of objects of one byte */
}

void fflush(int file)
{
	size_t from = 0;

	while (from < pending) {
		long done = sys(SYS_write, file, (long)(said + from), (long)(pending - from));

		if (done <= 0)
			break;
		from += (size_t)done;
	}
	pending = 0;
}

static void say(char letter)
{
	if (pending == sizeof(said))
		fflush(stdout);
	said[pending++] = letter;
}

int puts(const char *text)
{
	while (*text)
		say(*text++);
	say('\n');
	return 0;
}

static void number(unsigned long value, int width)
{
	char digits[32];
	int count = 0;

	do
		digits[count++] = "0123456789abcdef"[value & 15];
	while (value >>= 4);
	while (count < width)
		digits[count++] = '0';
	while (count)
		say(digits[--count]);
}

int printf(const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	for (; *format; format++) {
		int width = 0, is_long = 0;

		if (*format != '%') {
			say(*format);
			continue;
		}
		for (format++; *format >= '0' && *format <= '9'; format++)
			width = *format - '0';
		for (; *format == 'l' || *format == 'z'; format++)
			is_long = 1;
		number(is_long ? va_arg(rest, unsigned long) : va_arg(rest, unsigned), width);
	}
	va_end(rest);
	return 0;
}

void *memchr(const void *in, int wanted, size_t size)
{
	const unsigned char *at = in;

	for (; size; size--, at++)
		if (*at == (unsigned char)wanted)
			return (void *)at;
	return 0;
}

void *memcpy(void *to, const void *from, size_t size)
{
	char *out = to;
	const char *in = from;

	while (size--)
		*out++ = *in++;
	return to;
}

void *memset(void *to, int value, size_t size)
{
	char *out = to;

	while (size--)
		*out++ = (char)value;
	return to;
}
