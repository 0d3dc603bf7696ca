/* SPDX-License-Identifier: MIT */
/* The slots before fixup: the defaults of native_entry.S. */
#include "paravirt.h"

void native_rdmsr(void);
void native_wrmsr(void);
void native_halt(void);
void native_stop(void);

struct pv_cpu_ops pv_cpu_ops = {
    .rdmsr = native_rdmsr,
    .wrmsr = native_wrmsr,
    .halt = native_halt,
    .stop = native_stop,
};
