// The fixup in Rust of another architecture, run on this machine: sites are data to it. The protocol is that of the C in
// fixup_host.py; LOW, FAR and SIZE are in an own file.
mod bp_paravirt;
mod places;

use bp_paravirt::{write, Image, Refusal};
use places::{FAR, LOW, SIZE};
use std::io::{stdin, stdout, Read, Write};
use std::slice::{from_raw_parts, from_raw_parts_mut};

#[no_mangle]
static bp_paravirt: u8 = 0;

extern "C" {
    fn mmap(at: usize, size: usize, access: i32, kind: i32, file: i32, offset: i64) -> usize;
}

fn word() -> Option<usize> {
    let mut bytes = [0; 8];
    stdin().read_exact(&mut bytes).ok()?;
    Some(usize::from_le_bytes(bytes))
}

fn main() {
    for place in [LOW, FAR] {
        assert!(unsafe { mmap(place, SIZE, 3, 0x32, -1, 0) } == place);
    }
    while let Some(table) = word() {
        let [from, to, start, end] = [(); 4].map(|_| word().unwrap());
        for place in [LOW, FAR] {
            let memory = unsafe { from_raw_parts_mut(place as *mut u8, SIZE) };
            stdin().read_exact(memory).unwrap();
        }
        let given = |backend| Some(backend).filter(|at| *at != 0);
        let mut writer = |site: *mut u8, bytes: &[u8]| unsafe { write(site, bytes) };
        let result = unsafe { Image::new(start, end).switch_at(table, given(from), given(to), &mut writer) };
        let (error, entry) = result.map_or_else(|Refusal { error, entry }| (error as u32 + 1, entry), |()| (0, 0));
        let mut out = stdout().lock();
        out.write_all(&error.to_le_bytes()).unwrap();
        out.write_all(&entry.to_le_bytes()).unwrap();
        for place in [LOW, FAR] {
            out.write_all(unsafe { from_raw_parts(place as *const u8, SIZE) }).unwrap();
        }
    }
}
