// The fixup in Rust behind the functions of the C in buildplug.h, as a library.
mod bp_paravirt;

use bp_paravirt::{write, Error, Image, Refusal};
use std::ffi::{c_char, c_void, CString};

type Writer = unsafe extern "C" fn(*mut c_void, *mut u8, *const u8, u32);

#[repr(C)]
pub struct Status {
    error: u32,
    entry: u32,
}

#[no_mangle]
static bp_paravirt: u8 = 0; // the table that is linked in, which no test asks for

fn status(result: Result<(), Refusal>) -> Status {
    match result {
        Ok(()) => Status { error: 0, entry: 0 },
        Err(refusal) => Status { error: refusal.error as u32 + 1, entry: refusal.entry },
    }
}

/// # Safety
///
/// As in C.
#[no_mangle]
pub unsafe extern "C" fn bp_switch(
    table: usize, from: usize, to: usize, start: usize, end: usize, writer: Option<Writer>, context: *mut c_void,
) -> Status {
    let given = |backend| Some(backend).filter(|at| *at != 0);
    let image = Image::new(start, end);
    let mut hand = |site: *mut u8, bytes: &[u8]| writer.unwrap()(context, site, bytes.as_ptr(), bytes.len() as u32);
    status(match writer {
        None => image.check_at(table, given(from), given(to)),
        Some(_) => image.switch_at(table, given(from), given(to), &mut hand),
    })
}

/// # Safety
///
/// As in C.
#[no_mangle]
pub unsafe extern "C" fn bp_fixup(
    table: usize, backend: usize, start: usize, end: usize, writer: Option<Writer>, context: *mut c_void,
) -> Status {
    if backend == 0 {
        return Status { error: 1, entry: 1 };
    }
    bp_switch(table, 0, backend, start, end, writer, context)
}

/// # Safety
///
/// As in C.
#[no_mangle]
pub unsafe extern "C" fn bp_write(_: *mut c_void, site: *mut u8, bytes: *const u8, length: u32) {
    write(site, std::slice::from_raw_parts(bytes, length as usize));
}

#[no_mangle]
pub extern "C" fn bp_error(error: u32) -> *const c_char {
    let text = error.checked_sub(1).map_or("done".into(), |error| Error::ALL[error as usize].to_string());
    CString::new(text).unwrap().into_raw()
}
