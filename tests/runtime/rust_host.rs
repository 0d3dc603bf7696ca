// The lookups of bp_ksyms.rs behind the protocol of tests/ksyms_host.py.
mod bp_ksyms;

use bp_ksyms::{Ksyms, Symbol};
use std::io::{Read, Write};

fn take(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    if std::io::stdin().read_exact(&mut bytes).is_err() {
        std::process::exit(0);
    }
    bytes
}

fn word() -> u64 {
    u64::from_ne_bytes(take(8).try_into().unwrap())
}

/// A copy that is aligned, and that lives as long as the program.
fn aligned(bytes: &[u8]) -> &'static [u8] {
    let words: &'static mut [u64] = Box::leak(vec![0; bytes.len() / 8 + 1].into());
    let room: &'static mut [u8] = unsafe { words.align_to_mut().1 };
    let room = &mut room[..bytes.len()];
    room.copy_from_slice(bytes);
    room
}

fn said(symbol: &Symbol, bytes: Option<usize>) -> String {
    let (letter, length) = (symbol.letter as u32, symbol.name.len());
    let mut text = format!("{:x} {:x} {:x} {:02x} {:x} ", symbol.index, symbol.address, symbol.size, letter, length);
    if let Some(room) = bytes {
        text += &hex(symbol.name.bytes().take(room.saturating_sub(1)));
        assert_eq!(symbol.name.bytes().count(), length);
    }
    text
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn answer(table: &Ksyms) -> String {
    let (kind, value, size) = (word() as u8, word() as usize, word() as usize);
    let shown = |symbol: Option<Symbol>| symbol.map_or(String::new(), |symbol| said(&symbol, Some(size)));
    match kind {
        b'f' => shown(table.find(value)),
        b'g' => shown(u32::try_from(value).ok().and_then(|index| table.get(index))),
        b'l' => table.lookup(&take(size)[..size - 1]).map(|symbol| said(&symbol, None)).collect(),
        b'p' => hex(table.symbolize(value).to_string().bytes()),
        b'r' => hex(table.symbolize_return(value).to_string().bytes()),
        b'a' => table.iter().map(|symbol| said(&symbol, Some(size))).collect(),
        _ => unreachable!(),
    }
}

fn main() {
    loop {
        let bytes = aligned(&take(word() as usize));
        let opened = Ksyms::open(bytes);
        let number = opened.as_ref().map_or_else(|error| *error as u32 + 1, |_| 0);
        println!("{:x} {}", bytes.as_ptr() as usize, number);
        for _ in 0..word() {
            println!("{}", opened.as_ref().map_or(String::new(), answer));
        }
        std::io::stdout().flush().unwrap();
    }
}
