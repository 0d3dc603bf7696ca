/* SPDX-License-Identifier: MIT */
/* The kernel of the README's recipes: does what those of them add that are there. It starts by
 * start.S. */
__attribute__((weak)) void backtrace(void), start_drivers(void), redirect(void);

static void out(unsigned short port, char value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void print(const char *text)
{
	while (*text)
		out(0x3f8, *text++);
	out(0x3f8, '\n');
}

void halt(void)
{
	out(0xf4, 0x10); /* ends QEMU */
	for (;;)
		__asm__ volatile("hlt");
}

__attribute__((noipa)) void pv_irq_disable(void) /* an op, by its default */
{
	__asm__ volatile("cli");
}

void guest_irq_disable(void)
{
	print("hypercall");
}

void init_clock(void)
{
	print("tick");
}

void init_disk(void)
{
	print("spin");
}

static __attribute__((noinline)) void work(void)
{
	backtrace();
	__asm__ volatile(""); /* else the call were a jump */
}

void kernel_main(void)
{
	if (backtrace)
		work();
	if (start_drivers)
		start_drivers();
	if (redirect) {
		redirect();
		pv_irq_disable();
	}
	__asm__ volatile("");
}
