/* SPDX-License-Identifier: MIT */
#include "kernel.h"

extern void (*const constructors[])();
extern void (*const constructors_end[])();

namespace disk
{
template <typename T> class Queue
{
      public:
	explicit Queue(const char *name) : name(name)
	{
	}

	__attribute__((noinline)) T take() const
	{
		panic(name);
	}

      private:
	const char *name;
};

volatile int machine = 1;
Queue<int> requests{machine ? "queue: empty" : ""};
}

extern "C" int kernel_main()
{
	for (void (*const *constructor)() = constructors; constructor != constructors_end; constructor++)
		(*constructor)();
	return disk::requests.take();
}
