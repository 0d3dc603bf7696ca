/* SPDX-License-Identifier: MIT */
/* What two objects have of each other's: the linker keeps one copy of each function and variable here. */
#pragma once
#include "kernel.h"

namespace disk
{
inline int &queues()
{
	static int count;

	return count;
}

template <typename T> class Queue
{
      public:
	explicit Queue(const char *name) : name(name)
	{
		queues()++;
	}

	__attribute__((noipa)) T take() const
	{
		panic(name);
	}

      private:
	const char *name;
};

int next();
}
