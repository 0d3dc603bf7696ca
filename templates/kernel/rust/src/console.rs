// SPDX-License-Identifier: MIT
//! Output to the first serial port (a 16550 at 0x3f8) by polling, and the end of QEMU by its isa-debug-exit device.
use core::arch::asm;
use core::fmt::{Result, Write};

const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = 0x3fd;
const TRANSMITTER_EMPTY: u8 = 0x20;
const DEBUG_EXIT: u16 = 0xf4;

pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> Result {
        for byte in text.bytes() {
            while inb(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {}
            outb(DATA, byte);
        }
        Ok(())
    }
}

#[macro_export]
macro_rules! println {
    ($($word:tt)*) => {{
        let _ = core::fmt::Write::write_fmt(&mut $crate::console::Console, format_args!("{}\n", format_args!($($word)*)));
    }};
}

/// Ends QEMU with status 1; other machines have no such device.
pub fn stop() -> ! {
    outb(DEBUG_EXIT, 0);
    loop {
        unsafe { asm!("cli", "hlt") };
    }
}

fn outb(port: u16, value: u8) {
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

fn inb(port: u16) -> u8 {
    let value;
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}
