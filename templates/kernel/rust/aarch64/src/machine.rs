// SPDX-License-Identifier: MIT
//! The serial port of QEMU's `virt` (a PL011) by polling, the end of the machine by PSCI, and registers.
use core::arch::asm;

const DATA: *mut u32 = 0x900_0000 as *mut u32;
const FLAGS: *const u32 = 0x900_0018 as *const u32;
const TRANSMITTER_FULL: u32 = 0x20;
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Bytes from the caller's frame pointer and the return address up to where a frame pointer points.
pub const RECORD: usize = 0;

/// To be called first. The target's code uses no registers of floating point, and no unaligned access, which memory
/// refuses with the MMU off: so nothing is to be done.
pub fn prepare() {}

pub fn put(byte: u8) {
    unsafe {
        while FLAGS.read_volatile() & TRANSMITTER_FULL != 0 {}
        DATA.write_volatile(byte.into());
    }
}

/// Turns the machine off.
pub fn stop() -> ! {
    unsafe { asm!("hvc #0", in("x0") SYSTEM_OFF) };
    loop {
        unsafe { asm!("wfi") };
    }
}

/// The frame pointer of the function that says this.
#[inline(always)]
pub fn frame() -> usize {
    let frame;
    unsafe { asm!("mov {}, x29", out(reg) frame, options(nomem, nostack)) };
    frame
}
