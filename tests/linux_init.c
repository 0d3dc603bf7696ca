/* SPDX-License-Identifier: MIT */
/*
 * The first process of a small Linux: given arguments, it prints the file that the last names to the serial line. Then it
 * says so and waits. It has no libc.
 */
enum { READ = 0, WRITE = 1, OPEN = 2, PAUSE = 34, MKDIR = 83, MKNOD = 133, MOUNT = 165 };
enum { SERIAL = 4 << 8 | 64, CHARACTER = 020600, WRITE_ONLY = 1 };

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");

static char buffer[1 << 16];

static long call(long number, const void *first, long second, long third, long fourth)
{
	register long r10 __asm__("r10") = fourth;
	register long r8 __asm__("r8") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static void print(long serial, const char *from, long length)
{
	while (length > 0) {
		long done = call(WRITE, (void *)serial, (long)from, length, 0);

		if (done <= 0)
			break;
		from += done;
		length -= done;
	}
}

void start(const long *stack)
{
	const char *const *arguments = (const char *const *)(stack + 1);
	long serial, file, got;

	call(MKNOD, "/serial", CHARACTER, SERIAL, 0);
	serial = call(OPEN, "/serial", WRITE_ONLY, 0, 0);
	print(serial, "\nbegin\n", 7);
	if (stack[0] > 1) {
		call(MKDIR, "/proc", 0755, 0, 0);
		call(MOUNT, "proc", (long)"/proc", (long)"proc", 0);
		file = call(OPEN, arguments[stack[0] - 1], 0, 0, 0);
		while ((got = call(READ, (void *)file, (long)buffer, sizeof(buffer), 0)) > 0)
			print(serial, buffer, got);
	}
	print(serial, "hold\n", 5);
	for (;;)
		call(PAUSE, 0, 0, 0, 0);
}
