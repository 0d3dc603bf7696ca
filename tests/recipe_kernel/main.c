/* SPDX-License-Identifier: MIT */
/* Does what those recipes add that are there. */
void print(const char *text);
__attribute__((weak)) void backtrace(void), start_drivers(void), redirect(void);

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

void main(void)
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
