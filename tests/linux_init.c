/* SPDX-License-Identifier: MIT */
/*
 * The first process of a small Linux: given arguments, it prints the file that the last names to
 * the serial line; with "crc32" before that, the file's CRC-32 and its length, both in hexadecimal
 * digits. Then it says so and waits. It has no libc.
 */
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, MOUNT = 165, OPENAT = 257, MKDIRAT = 258, MKNODAT = 259, PPOLL = 271 };
enum { MAJOR = 4, MINOR = 64 }; /* ttyS0 */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");
#else
enum { READ = 63, WRITE = 64, MOUNT = 40, OPENAT = 56, MKDIRAT = 34, MKNODAT = 33, PPOLL = 73 };
#endif
#if defined(__aarch64__)
enum { MAJOR = 204, MINOR = 64 }; /* ttyAMA0 */
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start");
#elif defined(__riscv)
enum { MAJOR = 4, MINOR = 64 }; /* ttyS0 */
__asm__(".globl _start\n_start:\n\tmv a0, sp\n\tcall start");
#endif
enum { HERE = -100, CHARACTER = 020600, WRITE_ONLY = 1 };

static char buffer[1 << 16];

static long call(long number, long first, const void *second, long third, long fourth)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = fourth;
	register long r8 __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long result __asm__("x0") = first;
	register const void *x1 __asm__("x1") = second;
	register long x2 __asm__("x2") = third, x3 __asm__("x3") = fourth, x4 __asm__("x4") = 0;
	register long x8 __asm__("x8") = number;

	__asm__ volatile("svc #0"
			 : "+r"(result)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8)
			 : "memory");
	return result;
#elif defined(__riscv)
	register long result __asm__("a0") = first;
	register const void *a1 __asm__("a1") = second;
	register long a2 __asm__("a2") = third, a3 __asm__("a3") = fourth, a4 __asm__("a4") = 0;
	register long a7 __asm__("a7") = number;

	__asm__ volatile("ecall"
			 : "+r"(result)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7)
			 : "memory");
	return result;
#endif
}

static void print(long serial, const char *from, long length)
{
	while (length > 0) {
		long done = call(WRITE, serial, from, length, 0);

		if (done <= 0)
			break;
		from += done;
		length -= done;
	}
}

static void print_hex(long serial, unsigned int number)
{
	char digits[8];

	for (int i = 7; i >= 0; i--, number >>= 4)
		digits[i] = "0123456789abcdef"[number & 15];
	print(serial, digits, sizeof(digits));
}

/* As zlib's crc32() has it, inverted. */
static unsigned int crc32(unsigned int crc, const char *from, long length)
{
	for (long i = 0; i < length; i++) {
		crc ^= (unsigned char)from[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

void start(const long *stack)
{
	const char *const *arguments = (const char *const *)(stack + 1);
	unsigned int crc = -1, length = 0;
	long serial, file, got;

	call(MKNODAT, HERE, "/serial", CHARACTER, MAJOR << 8 | MINOR);
	serial = call(OPENAT, HERE, "/serial", WRITE_ONLY, 0);
	print(serial, "\nbegin\n", 7);
	if (stack[0] > 1) {
		call(MKDIRAT, HERE, "/proc", 0755, 0);
		call(MOUNT, (long)"proc", "/proc", (long)"proc", 0);
		call(MKDIRAT, HERE, "/sys", 0755, 0);
		call(MOUNT, (long)"sysfs", "/sys", (long)"sysfs", 0);
		file = call(OPENAT, HERE, arguments[stack[0] - 1], 0, 0);
		while ((got = call(READ, file, buffer, sizeof(buffer), 0)) > 0) {
			if (stack[0] == 2)
				print(serial, buffer, got);
			crc = crc32(crc, buffer, got);
			length += got;
		}
		if (stack[0] > 2) {
			print_hex(serial, ~crc);
			print(serial, " ", 1);
			print_hex(serial, length);
			print(serial, "\n", 1);
		}
	}
	print(serial, "hold\n", 5);
	for (;;)
		call(PPOLL, 0, 0, 0, 0);
}
