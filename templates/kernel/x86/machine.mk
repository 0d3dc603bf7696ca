# SPDX-License-Identifier: MIT
QEMU ?= qemu-system-x86_64
MACHINE = -device isa-debug-exit,iobase=0xf4,iosize=1
STOPPED = 1
