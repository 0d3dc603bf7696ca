// SPDX-License-Identifier: MIT
//! Where the kernel starts, called by boot.S. Replace what is here by a kernel of your own.
#![no_std]
#![no_main]

#[path = "../target/buildplug/bp_ksyms.rs"] // written by build.rs
mod bp_ksyms;
mod console;
mod machine;
mod panic;

use core::sync::atomic::{AtomicU32, Ordering};

static DISKS: AtomicU32 = AtomicU32::new(0); // that were found

/// Called by boot.S.
#[no_mangle]
extern "C" fn main() -> ! {
    machine::prepare();
    kernel_main()
}

// inline(never): so that each function is a line of the backtrace.
#[inline(never)]
fn kernel_main() -> ! {
    println!("hello");
    start_drivers();
    machine::stop()
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
