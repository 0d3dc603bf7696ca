// A kernel that calls its ops from Rust, under the backend of its command line. In place of main.rs of a new kernel.
#![no_std]
#![no_main]

#[path = "../target/buildplug/bp_ksyms.rs"]
mod bp_ksyms;
#[path = "../target/buildplug/bp_paravirt.rs"]
mod bp_paravirt;
mod console;
mod machine;
mod panic;

use bp_paravirt::{Backend, Image};
use core::arch::{asm, global_asm};
use core::ptr::addr_of;

// The defaults of the ops, and the functions of the backend `shim`.
global_asm!(
    ".pushsection .text",
    ".globl pv_flags, pv_cr3, pv_twice, pv_nothing, pv_put, shim_flags, shim_cr3, shim_twice, shim_put, shim_cpuid",
    "pv_flags: pushf; pop %rax; ret",
    "pv_cr3: mov %cr3, %rax; ret",
    "pv_twice: add %r9, %r9; ret",
    "pv_nothing: ret",
    "pv_put: mov %rbx, cell(%rip); ret",
    "pv_leaf: cpuid; ret",
    "shim_flags: mov $0x1234, %eax; ret",
    "shim_cr3: mov $0x5000, %eax; ret",
    "shim_twice: lea (%r9, %r9, 2), %r9; ret",
    "shim_put: movq $77, cell(%rip); ret",
    "shim_cpuid: lea 1(%rax), %eax; mov $2, %ebx; lea (%rcx), %edx; mov $3, %ecx; ret",
    ".popsection",
    ".pushsection .data, \"aw\"; .balign 8",
    ".globl pv_cpu_ops, cell; .type pv_cpu_ops, @object; .size pv_cpu_ops, 8",
    "pv_cpu_ops: .quad pv_leaf",
    "cell: .quad 0",
    ".popsection",
    options(att_syntax)
);

extern "C" {
    static kernel_start: u8;
    static kernel_end: u8;
    static cell: usize;
}

#[no_mangle]
extern "C" fn pv_sum(first: usize, second: usize) -> usize {
    first + second
}

#[no_mangle]
extern "C" fn shim_sum(first: usize, second: usize) -> usize {
    first * 100 + second
}

/// `info`: what PVH calls hvm_start_info, which has the address of the command line at 24.
#[no_mangle]
unsafe extern "C" fn main(info: usize) -> ! {
    asm!("mov {0}, cr4", "or {0}, 0x600", "mov cr4, {0}", out(reg) _);
    let words = *((info + 24) as *const *const u8);
    // volatile, as there is no strlen()
    let last = (0..).map(|offset| words.add(offset).read_volatile()).take_while(|byte| *byte != 0).last();
    let backend = Backend::ALL.into_iter().find(|backend| backend.name().bytes().last() == last);
    let image = Image::new(addr_of!(kernel_start) as usize, addr_of!(kernel_end) as usize);
    ops("linked");
    if let Some(backend) = backend {
        assert!(image.check(Some(backend), None).is_err());
        match image.fixup(backend) {
            Ok(()) => ops(backend.name()),
            Err(refusal) => println!("{refusal}"),
        }
    }
    println!("hold");
    #[allow(clippy::empty_loop)]
    loop {}
}

/// Prints what each op returns. In a leaf function, whose locals may be below the stack pointer.
#[inline(never)]
unsafe fn ops(name: &str) {
    let kept = [core::hint::black_box(11_usize), core::hint::black_box(22)];
    let flags = pv_op!(flags);
    let cr3 = pv_op!(cr3);
    let twice = pv_op!(twice, r9 = 21);
    pv_op!(nothing);
    pv_op!(put, rbx = 5);
    let sum = pv_op!(sum, rsi = 4, rdi = 3);
    let [a, b, c, d] = pv_op!(cpuid, rax = 0x4000_0000, rcx = 9);
    let vendor = (a, b, c, d);
    println!("{name}: {flags:#x} {cr3:#x} {twice} {} {sum} {:?}", addr_of!(cell).read_volatile(), kept);
    println!("{name}: {:#x} {:#x} {:#x} {:#x}", vendor.0, vendor.1, vendor.2, vendor.3);
}
