"""What the modules in Rust of exports, extable and static calls have besides rows: against C on damaged tables, and in
a program that makes the records itself, by their macros."""

import random
from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.ld.programs import linked_by
from tests.runtime.rust import STRICT, missing
from tests.runtime.test_generated import Host, exports, extable, hosts, source, text
from tests.samples import buildplug

__all__ = ["hosts", "source"]
MODULES = ("exports", "extable", "static_calls")
CONFIG = '[kernel]\nname = "prog"\n[toolchain]\ncc = "gcc"\n' + "".join(f'[[table]]\nrule = "{m}"\n' for m in MODULES)
USE = """
#[no_mangle]
unsafe fn used(at: usize, image: core::ops::Range<usize>) -> bool {
    let write = |to: *mut u8, from: &[u8]| to.copy_from_nonoverlapping(from.as_ptr(), from.len());
    bp_static_calls::Table::linked().set(at, at, image, write).is_ok()
}
"""
PROGRAM = r"""
mod bp_exports;
mod bp_extable;
mod bp_static_calls;

#[no_mangle]
extern "C" fn twice(n: u32) -> u32 {
    n * 2
}

#[no_mangle]
extern "C" fn thrice(n: u32) -> u32 {
    n * 3
}

#[no_mangle]
static LIMIT: u32 = 7;

bp_export!(twice, "MATH");
bp_export!(LIMIT, "");
bp_static_call!(fn scaled(n: u32) -> u32 = twice);

#[inline(never)]
fn called(n: u32) -> u32 {
    unsafe { scaled(n) + 1 }
}

extern "C" {
    static __executable_start: [u8; 0];
    static _end: [u8; 0];
    fn mprotect(at: usize, size: usize, kind: i32) -> i32;
}

fn main() {
    let table = bp_exports::Table::linked();
    for name in ["twice", "LIMIT", "thrice"] {
        println!("{:?}", table.find(name).map(|row| (row.address, String::from_utf8_lossy(row.ns).into_owned())));
    }
    println!("{} {}", twice as *const () as usize, &LIMIT as *const u32 as usize);

    let (at, after): (usize, usize);
    unsafe {
        std::arch::asm!(
            "lea {0}, [rip + 2f]", "lea {1}, [rip + 3f]", "2: nop", "3:", bp_extable!("2b", "3b"),
            out(reg) at, out(reg) after
        )
    };
    let table = bp_extable::Table::linked();
    println!("{:?} {:?}", table.find(at).map(|found| found == after), table.find(after));

    let image = unsafe { (__executable_start.as_ptr() as usize, _end.as_ptr() as usize) };
    let table = bp_static_calls::Table::linked();
    let set = |function: extern "C" fn(u32) -> u32| unsafe {
        let write = |to: *mut u8, from: &[u8]| {
            assert!(mprotect(to as usize & !4095, 8192, 7) == 0);
            to.copy_from_nonoverlapping(from.as_ptr(), from.len())
        };
        table.set(scaled as *const () as usize, function as usize, image.0..image.1, write)
    };
    print!("{} {}", table.iter().count(), called(5));
    for function in [thrice as extern "C" fn(u32) -> u32, twice] {
        set(function).unwrap();
        print!(" {}", called(5));
    }
    println!();
}
"""


@pytest.mark.parametrize("arch", [arch for arch in ARCHES.values() if arch.bits == 64])
def test_they_cannot_panic_and_clippy_has_nothing_to_say(tmp_path: Path, arch: Arch) -> None:
    for name in MODULES:
        for file, made in render.rust(arch, find(name, tmp_path), tmp_path).items():
            (tmp_path / file).write_text(made)
    wanted = missing(tmp_path, [f"bp_{name}" for name in MODULES], USE)
    assert "bp_static_calls" in wanted
    assert [name for name in wanted if "panic" in name or "alloc" in name] == []


def test_rust_finds_in_damaged_tables_what_c_finds(hosts: dict[str, Host]) -> None:
    chance = random.Random(5)

    def damaged(data: bytes) -> str:
        """Where its header is right: else Rust opens no table, while C searches the rows that there may be."""
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
        return text(bytes(changed))

    faults = extable([(insn, 5) for insn in range(0, 60, 3)])
    names = exports([(f"name{i}", i, "NS" * (i % 3)) for i in range(20)])
    questions = [f"f {damaged(faults)} {chance.randrange(60)}" for _ in range(400)]
    questions += [f"l {damaged(names)} {text(b'name%d' % (i % 20) + bytes(1))}" for i in range(800)]
    answers = hosts["rust"].ask(questions)
    assert answers == hosts["c"].ask(questions)
    assert len(set(answers)) > 10


def test_a_program_finds_what_its_macros_recorded_and_redirects_its_static_call(tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    (tmp_path / "prog.rs").write_text(PROGRAM)
    made = buildplug("runtime", ".", "--language", "rust", cwd=tmp_path)
    assert made.stdout.split() == [f"bp_{name}.rs" for name in MODULES]
    flags = "-Copt-level=1 -Crelocation-model=static -Clink-arg=-no-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-B{dir}"
    program = linked_by(f"rustc {' '.join(STRICT)} {flags}", "ld", tmp_path, "prog.rs")
    twice, limit, thrice, addresses, faults, calls = tool(program).splitlines()
    function, variable = addresses.split()
    assert twice == f'Some(({function}, "MATH"))'
    assert limit == f'Some(({variable}, ""))'
    assert thrice == "None"
    assert faults == "Some(true) None"
    assert calls == "1 11 16 11"
