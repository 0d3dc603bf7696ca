// SPDX-License-Identifier: MIT
//! The first serial port (a 16550 at 0x3f8) by polling, the end of QEMU by its isa-debug-exit device, and registers.
use core::arch::asm;

#[path = "memory.rs"]
mod memory;

const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = 0x3fd;
const TRANSMITTER_EMPTY: u8 = 0x20;
const DEBUG_EXIT: u16 = 0xf4;

/// Bytes from the caller's frame pointer and the return address up to where a frame pointer points.
pub const RECORD: usize = 0;

/// To be called first, with interrupts off. They must remain off on this stack: core is compiled for programs, whose
/// functions use memory below the stack pointer, the red zone, that an interrupt would overwrite. An entry of the IDT
/// with a stack of its own (IST) does not.
pub fn prepare() {
    // CR4.OSFXSR and CR4.OSXMMEXCPT: the code uses the registers of SSE, from here on
    unsafe { asm!("mov {0}, cr4", "or {0}, 0x600", "mov cr4, {0}", out(reg) _) };
}

pub fn put(byte: u8) {
    while inb(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {}
    outb(DATA, byte);
}

/// Ends QEMU with status 1; other machines have no such device.
pub fn stop() -> ! {
    outb(DEBUG_EXIT, 0);
    loop {
        unsafe { asm!("cli", "hlt") };
    }
}

/// The frame pointer of the function that says this.
#[inline(always)]
pub fn frame() -> usize {
    let frame;
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
    frame
}

fn outb(port: u16, value: u8) {
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

fn inb(port: u16) -> u8 {
    let value;
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}
