/* SPDX-License-Identifier: MIT */
/* The slots before fixup: the defaults of native_entry.S. */
#include "paravirt.h"

void native_halt(void);
void native_stop(void);

struct pv_cpu_ops pv_cpu_ops = {
    .halt = native_halt,
    .stop = native_stop,
};
