/* SPDX-License-Identifier: MIT */
/* Ends the kernel, and QEMU with the result as its status. */
#include "kernel.h"
#include "paravirt.h"

enum { GOOD = 0x21, BAD = 0x23 };

_Noreturn void finish(bool good)
{
	end_machine(good ? GOOD : BAD);
	for (;;) /* there is no such device */
		pv_stop();
}

_Noreturn void panic(const char *text)
{
	print("panic: %s\n", text);
	backtrace((uintptr_t)__builtin_return_address(0) - 1,
		  CALLERS_FRAME(__builtin_frame_address(0)));
	finish(false);
}

_Noreturn void panic_trap(const struct frame *frame)
{
#define NAME_OF(name) #name,
	static const char *const names[] = {FRAME(NAME_OF)};
	const unsigned long *words = (const void *)frame;

	print("exception %lu, error %lx, at %lx\n", FRAME_VECTOR(frame), FRAME_ERROR(frame),
	      FRAME_PC(frame));
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		print("%s %lx%s", names[i], words[i], i % 4 == 3 ? "\n" : " ");
	print("\npanic: unexpected exception\n");
	backtrace(FRAME_PC(frame), FRAME_FP(frame));
	finish(false);
}
