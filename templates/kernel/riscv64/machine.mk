# SPDX-License-Identifier: MIT
QEMU ?= qemu-system-riscv64
MACHINE = -M virt
STOPPED = 0
