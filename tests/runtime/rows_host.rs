// The tables of rows in Rust behind the protocol of the C in test_generated.py.
mod bp_exports;
mod bp_extable;
mod bp_static_calls;

use std::io::{stdin, BufRead, Write};

/// The bytes of a word of a line, which live as long as the program.
fn bytes(word: &str) -> &'static mut [u8] {
    let digits = &word.as_bytes()[2..];
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Box::leak(digits.chunks(2).map(byte).collect())
}

fn redirected(image: &'static mut [u8], numbers: &[isize]) -> String {
    let start = image.as_mut_ptr();
    let place = |number: isize| (start as usize).wrapping_add(number as usize);
    let [at, trampoline, function, low, high] = numbers.try_into().unwrap();
    // Of a table, only the rows: the sites are written to. It may say more rows than there are.
    let count = image.get(at as usize..).and_then(|table| table.get(..4)).map_or(0, |head| head[0] as usize);
    let size = (8 + 12 * count).min(image.len() - at as usize);
    let table = unsafe { std::slice::from_raw_parts(start.offset(at), size) };
    let write = |to: *mut u8, from: &[u8]| unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    let good = bp_static_calls::Table::open(table).map_or(false, |table| {
        let bounds = place(low)..place(high);
        unsafe { table.set(place(trampoline), place(function), bounds, write) }.is_ok()
    });
    let after: String = (0..image.len()).map(|i| format!("{:02x}", unsafe { start.add(i).read() })).collect();
    format!("{} {after}", u8::from(good))
}

fn main() {
    for line in stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let table = bytes(words[1]);
        let at = table.as_ptr() as usize;
        let mut said = match words[0] {
            "f" => {
                let asked = at.wrapping_add(words[2].parse::<isize>().unwrap() as usize);
                let found = bp_extable::Table::open(table).and_then(|table| table.find(asked));
                format!("{}", found.map_or(0, |found| found.wrapping_sub(at) as isize)).into_bytes()
            }
            "l" => {
                let name = bytes(words[2]);
                let name = &name[..name.len() - 1];
                match bp_exports::Table::open(table).and_then(|table| table.find(name)) {
                    Some(row) => {
                        assert!(row.name == name);
                        let address = row.address.wrapping_sub(at) as isize;
                        [format!("{address} ").as_bytes(), row.ns].concat()
                    }
                    None => b"none".to_vec(),
                }
            }
            _ => {
                let numbers: Vec<isize> = words[2..].iter().map(|word| word.parse().unwrap()).collect();
                redirected(table, &numbers).into_bytes()
            }
        };
        said.push(b'\n');
        std::io::stdout().write_all(&said).unwrap();
    }
}
