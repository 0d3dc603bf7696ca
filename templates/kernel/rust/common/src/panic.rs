// SPDX-License-Identifier: MIT
//! The end, with a backtrace by frame pointers, which .cargo/config.toml asks for.
use crate::bp_ksyms::Ksyms;
use crate::{machine, println};
use core::panic::PanicInfo;

extern "C" {
    // kernel.lds: the bounds of the image in memory, which contains the stack.
    static kernel_start: u8;
    static kernel_end: u8;
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("{info}");
    backtrace(machine::frame());
    machine::stop()
}

/// Prints the calls that led to a frame: one word of it is the address of the caller's frame, which lies higher, and the
/// next the return address. The core of older versions of Rust keeps no frame pointers: the function that panics, of
/// which the line above says the place, is not among the calls then.
fn backtrace(mut frame: usize) {
    let (start, end) = unsafe { (&kernel_start as *const u8 as usize, &kernel_end as *const u8 as usize) };
    let table = Ksyms::linked();
    let mut last = start + machine::RECORD;
    while frame > last && frame & 7 == 0 && frame - machine::RECORD <= end - 16 {
        let [caller, address] = unsafe { *((frame - machine::RECORD) as *const [usize; 2]) };
        match &table {
            Ok(table) => println!("  {}", table.symbolize_return(address)),
            Err(error) => println!("  {address:#x} ({error})"),
        }
        (last, frame) = (frame, caller);
    }
}

/// What core, which is compiled to unwind, refers to in some builds; never called.
#[no_mangle]
extern "C" fn rust_eh_personality() {}
