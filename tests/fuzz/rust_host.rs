// The modules in Rust with damaged tables, by the protocol of the C in runtime.py. The memory has exactly its size. A call
// that returns an error must leave it as it was.
mod bp_exports;
mod bp_extable;
mod bp_ksyms;
mod bp_paravirt;
mod bp_static_calls;

use bp_paravirt::{write, Image};
use std::io::{stdin, stdout, Read, Write};
use std::slice::{from_raw_parts, from_raw_parts_mut};

#[no_mangle]
static bp_paravirt: u8 = 0;

fn word() -> usize {
    let mut bytes = [0; 8];
    if stdin().read_exact(&mut bytes).is_err() {
        std::process::exit(0);
    }
    usize::from_le_bytes(bytes)
}

/// Redirects sites there and back, and restores the memory.
unsafe fn sites(start: usize, before: &[u8], table: usize, backend: usize) {
    let memory = || from_raw_parts_mut(start as *mut u8, before.len());
    let image = Image::new(start, start + before.len());
    let switch = |from, to| image.switch_at(table, from, to, &mut |site, bytes| write(site, bytes)).is_ok();
    for (from, to) in [(None, Some(backend)), (Some(backend), None)] {
        let good = image.check_at(table, from, to).is_ok();
        assert!(memory() == before);
        assert!(switch(from, to) == good && (good || memory() == before));
        if good && to.is_some() && switch(to, None) {
            assert!(memory() == before);
        }
        memory().copy_from_slice(before);
    }
}

fn symbols(bytes: &'static [u8], value: usize) {
    let Ok(table) = bp_ksyms::Ksyms::open(bytes) else { return };
    for symbol in table.iter().take(40).chain(table.get(value as u32)) {
        let name: Vec<u8> = symbol.name.bytes().collect();
        table.lookup(&name).take(5).for_each(|same| drop(format!("{same:?}")));
    }
    let at = bytes.as_ptr() as usize;
    for i in 0..30 {
        drop(format!("{}", table.symbolize(at.wrapping_add(value.wrapping_mul(i)))));
    }
    drop(format!("{}", table.symbolize_return(value)));
}

unsafe fn static_calls(start: usize, before: &[u8], trampoline: usize, function: usize) {
    let count = u32::from_le_bytes(before[..4].try_into().unwrap()) as usize;
    let rows = count.saturating_mul(12).saturating_add(8).min(before.len());
    let Some(table) = bp_static_calls::Table::open(from_raw_parts(start as *const u8, rows)) else { return };
    let function = start.wrapping_add(function);
    let good = table.set(trampoline, function, start..start + before.len(), |site, bytes| write(site, bytes));
    assert!(good.is_ok() || from_raw_parts(start as *const u8, before.len()) == before);
}

fn main() {
    loop {
        let [kind, size, at, other] = [(); 4].map(|_| word());
        let mut before = vec![0; size];
        stdin().read_exact(&mut before).unwrap();
        let memory = before.clone().leak(); // its only borrow is by `start`
        let start = memory.as_mut_ptr() as usize;
        let bytes: &'static [u8] = unsafe { from_raw_parts(start as *const u8, size) };
        match kind as u8 {
            b's' => unsafe { sites(start, &before, start + at, start + other) },
            b'k' => symbols(bytes, other),
            b'x' => drop(bp_exports::Table::open(bytes).map(|table| {
                let found = table.find("name7").map_or(0, |row| row.ns.len());
                found + table.iter().map(|row| row.name.len()).sum::<usize>()
            })),
            b'f' => drop(bp_extable::Table::open(bytes).map(|table| (table.find(start + other % 99), table.iter().count()))),
            b'c' => unsafe { static_calls(start, &before, start + at, other) },
            _ => unreachable!(),
        }
        stdout().write_all(b".").unwrap();
        stdout().flush().unwrap();
        drop(unsafe { Box::from_raw(from_raw_parts_mut(start as *mut u8, size)) });
    }
}
