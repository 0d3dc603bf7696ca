# SPDX-License-Identifier: MIT
QEMU ?= qemu-system-aarch64
MACHINE = -M virt -cpu cortex-a57
STOPPED = 0
