// SPDX-License-Identifier: MIT
//! Where the kernel starts, called by boot.S. Replace what is here by a kernel of your own.
#![no_std]
#![no_main]

#[path = "../target/buildplug/bp_ksyms.rs"] // written by build.rs
mod bp_ksyms;
mod console;
mod memory;
mod panic;

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

static DISKS: AtomicU32 = AtomicU32::new(0); // that were found

/// Called by boot.S, with interrupts off. They must remain off on this stack: core is compiled for programs, whose
/// functions use memory below the stack pointer, the red zone, that an interrupt would overwrite. An entry of the IDT
/// with a stack of its own (IST) does not.
#[no_mangle]
extern "C" fn main() -> ! {
    // CR4.OSFXSR and CR4.OSXMMEXCPT: the code uses the registers of SSE, from here on
    unsafe { asm!("mov {0}, cr4", "or {0}, 0x600", "mov cr4, {0}", out(reg) _) };
    kernel_main()
}

// inline(never): so that each function is a line of the backtrace.
#[inline(never)]
fn kernel_main() -> ! {
    println!("hello");
    start_drivers();
    console::stop()
}

#[inline(never)]
fn start_drivers() {
    println!("starting drivers");
    find_disk();
    println!("started drivers");
}

#[inline(never)]
fn find_disk() {
    if DISKS.load(Ordering::Relaxed) == 0 {
        panic!("no disk");
    }
    println!("found a disk");
}
