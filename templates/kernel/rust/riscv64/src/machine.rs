// SPDX-License-Identifier: MIT
//! The serial port of QEMU's `virt` (a 16550) by polling, the end of the machine by SBI, and registers.
use core::arch::asm;

const DATA: *mut u8 = 0x1000_0000 as *mut u8;
const LINE_STATUS: *const u8 = 0x1000_0005 as *const u8;
const TRANSMITTER_EMPTY: u8 = 0x20;
const SYSTEM_RESET: usize = 0x5352_5354; // "SRST"

/// Bytes from the caller's frame pointer and the return address up to where a frame pointer points.
pub const RECORD: usize = 16;

/// To be called first: turns on the registers of floating point (sstatus.FS), which the code uses from here on.
pub fn prepare() {
    unsafe { asm!("csrs sstatus, {}", in(reg) 1 << 13, options(nomem, nostack)) };
}

pub fn put(byte: u8) {
    unsafe {
        while LINE_STATUS.read_volatile() & TRANSMITTER_EMPTY == 0 {}
        DATA.write_volatile(byte);
    }
}

/// Turns the machine off.
pub fn stop() -> ! {
    // a shutdown, for no reason
    unsafe { asm!("ecall", in("a0") 0, in("a1") 0, in("a6") 0, in("a7") SYSTEM_RESET) };
    loop {
        unsafe { asm!("wfi") };
    }
}

/// The frame pointer of the function that says this.
#[inline(always)]
pub fn frame() -> usize {
    let frame;
    unsafe { asm!("mv {}, s0", out(reg) frame, options(nomem, nostack)) };
    frame
}
