/* SPDX-License-Identifier: MIT */
/* The instructions of a kernel without paravirt, for entry.S and virt/native_ops.h. */
#ifndef NATIVE_H
#define NATIVE_H

/* clang-format off */
#define PV(op) NATIVE_##op
#define PV_ROOM(op) NATIVE_##op
#define NATIVE_io_delay
#define NATIVE_irq_save_x0 mrs x0, daif
#define NATIVE_irq_disable msr daifset, #2
#define NATIVE_irq_enable msr daifclr, #2
#define NATIVE_read_fault mrs x0, far_el1
/* clang-format on */

#define NATIVE_FLUSH_TLB "dsb ishst; tlbi vmalle1is; dsb ish; isb"
#define NATIVE_WRITE_ROOT "msr ttbr1_el1, %0; isb"
#define NATIVE_READ_FAULT "mrs %0, far_el1"
#define NATIVE_HALT "wfi; msr daifclr, #2"
#define NATIVE_STOP "msr daifset, #2; wfi"
#define NATIVE_SET_TIMER "msr cntv_cval_el0, %0"

#endif
