// SPDX-License-Identifier: MIT
//! The functions of C's string.h that rustc and core call. In assembly, as rustc would make a call of itself of a loop.
use core::arch::asm;

#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    asm!("rep movsb", inout("rcx") size => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack));
    to
}

#[no_mangle]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= size {
        return memcpy(to, from, size);
    }
    let last = size.wrapping_sub(1); // from there down, as the end of `from` is in `to`
    asm!(
        "std", "rep movsb", "cld", inout("rcx") size => _, inout("rdi") to.wrapping_add(last) => _,
        inout("rsi") from.wrapping_add(last) => _, options(nostack)
    );
    to
}

#[no_mangle]
unsafe extern "C" fn memset(to: *mut u8, value: i32, size: usize) -> *mut u8 {
    asm!("rep stosb", inout("rcx") size => _, inout("rdi") to => _, in("al") value as u8, options(nostack));
    to
}

#[no_mangle]
unsafe extern "C" fn memcmp(first: *const u8, second: *const u8, size: usize) -> i32 {
    let (left, right): (u32, u32);
    asm!(
        "xor eax, eax", "xor edx, edx", "cmp eax, eax", "repe cmpsb", "je 2f",
        "movzx eax, byte ptr [rsi - 1]", "movzx edx, byte ptr [rdi - 1]", "2:",
        inout("rcx") size => _, inout("rsi") first => _, inout("rdi") second => _, out("eax") left, out("edx") right,
        options(nostack, readonly)
    );
    left as i32 - right as i32
}

#[no_mangle]
unsafe extern "C" fn bcmp(first: *const u8, second: *const u8, size: usize) -> i32 {
    memcmp(first, second, size)
}
