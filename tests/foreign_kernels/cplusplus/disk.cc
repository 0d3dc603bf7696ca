/* SPDX-License-Identifier: MIT */
#include "disk.h"

namespace disk
{
static volatile int machine = 1;
static Queue<int> requests{machine ? "queue: empty" : ""};

int next()
{
	return requests.take() + 1;
}
}
