/* SPDX-License-Identifier: MIT */
/* Formatted output to the console: the part of printf that the kernel uses. */
#include <stdarg.h>

#include "kernel.h"

static void print_text(const char *text)
{
	while (*text)
		serial_write(*text++);
}

static void print_number(unsigned long value, unsigned base, unsigned width, char fill)
{
	char digits[20];
	unsigned length = 0;

	do
		digits[length++] = "0123456789abcdef"[value % base];
	while (value /= base);
	for (; width > length; width--)
		serial_write(fill);
	while (length)
		serial_write(digits[--length]);
}

void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	for (char c; (c = *format); format++) {
		unsigned width = 0;
		char fill = ' ';
		bool wide = false;

		if (c != '%') {
			serial_write(c);
			continue;
		}
		if (*++format == '0')
			fill = *format++;
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + *format - '0';
		if (*format == 'l') {
			wide = true;
			format++;
		}
		switch (*format) {
		case 's':
			print_text(va_arg(arguments, const char *));
			break;
		case 'u':
		case 'x':
			print_number(wide ? va_arg(arguments, unsigned long)
					  : va_arg(arguments, unsigned),
				     *format == 'x' ? 16 : 10, width, fill);
			break;
		default:
			serial_write(*format);
		}
	}
	va_end(arguments);
}
