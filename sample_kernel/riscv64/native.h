/* SPDX-License-Identifier: MIT */
/* The instructions of a kernel without paravirt, for entry.S and virt/native_ops.h. */
#ifndef NATIVE_H
#define NATIVE_H

/* clang-format off */
#define PV(op) NATIVE_##op
#define PV_ROOM(op) NATIVE_##op
#define NATIVE_io_delay
#define NATIVE_irq_save_a0 csrr a0, sstatus; andi a0, a0, FLAGS_IF
#define NATIVE_irq_disable csrci sstatus, 2
#define NATIVE_irq_enable csrsi sstatus, 2
#define NATIVE_read_fault csrr a0, stval
/* clang-format on */

#define NATIVE_FLUSH_TLB "sfence.vma"
#define NATIVE_WRITE_ROOT "csrw satp, %0; sfence.vma"
#define NATIVE_READ_FAULT "csrr %0, stval"
#define NATIVE_HALT "wfi; csrsi sstatus, 2"
#define NATIVE_STOP "csrci sstatus, 2; wfi"
#define NATIVE_SET_TIMER "csrw 0x14d, %0" /* STIMECMP */

#endif
