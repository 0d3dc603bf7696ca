"""Plain tables in Rust, against nm and Python."""

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.x86 import X86_64
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.ld.programs import linked_by
from tests.runtime.rust import CHECKED, missing
from tests.samples import buildplug

CONFIG = """
[kernel]
name = "prog"
[toolchain]
cc = "gcc"
[[table]]
rule = "functions"
[[table]]
rule = "mixed.toml"
"""
MIXED = """
name = "mixed"
about = "the same function by every base"
[select]
rows = "symbols"
functions = ["twice"]
[table]
head = false
fields = [
    { name = "letter", type = "u1", value = "letter" },
    { name = "table", type = "i8", value = "address", base = "table" },
    { name = "here", type = "i4", value = "address" },
    { name = "name", type = "string", value = "name" },
    { name = "fixed", type = "u8", value = "address", base = "zero" },
    { name = "again", type = "string", value = "name" },
]
"""
PROGRAM = r"""
mod bp_functions;
mod bp_mixed;

#[no_mangle]
#[inline(never)]
extern "C" fn twice(n: u32) -> u32 {
    std::hint::black_box(n * 2)
}

fn main() {
    for row in bp_functions::Table::linked().iter() {
        println!("{:016x} {:016x} {}", row.address, row.size, String::from_utf8_lossy(row.name));
    }
    let at = twice as *const () as usize;
    for row in bp_mixed::Table::linked().iter() {
        let same = row.table == at && row.here == at && row.fixed == at && row.name == row.again;
        eprintln!("{} {}", row.letter as char, same && row.name == b"twice" && twice(1) == 2);
    }
}
"""
HOST = r"""
mod bp_functions;
use std::io::Read;

fn main() {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    let bytes: &'static [u8] = Box::leak(bytes.into());
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
        let bytes = &rest[4..4 + size];
        rest = &rest[4 + size..];
        match bp_functions::Table::open(bytes) {
            None => println!("none"),
            Some(table) => {
                let at = bytes.as_ptr() as usize;
                let row = |i| table.get(i).map(|row| (row.address.wrapping_sub(at), row.size, row.name));
                println!("{:?}", (0..=table.len()).map(row).collect::<Vec<_>>());
            }
        }
    }
}
"""
FIELDS = struct.Struct("<iIi")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for name, text in render.rust(X86_64, find("functions", folder), folder).items():
        (folder / name).write_text(text)
    (folder / "host.rs").write_text(HOST)
    tool("rustc", *CHECKED, "host.rs", "-o", "host", cwd=folder)
    return folder / "host"


def test_the_rows_of_a_program_are_its_functions(tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    (tmp_path / "mixed.toml").write_text(MIXED)
    (tmp_path / "prog.rs").write_text(PROGRAM)
    made = buildplug("runtime", ".", "--language", "rust", cwd=tmp_path)
    assert made.stdout.split() == ["bp_functions.rs", "bp_mixed.rs"]
    flags = "-Crelocation-model=static -Clink-arg=-no-pie -Clink-arg=-fuse-ld=bfd -Clink-arg=-B{dir} --edition=2021"
    program = linked_by(f"rustc {flags}", "ld", tmp_path, "prog.rs")
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    listed = [line.split(maxsplit=3) for line in tool("nm", "-S", program).splitlines() if line[:1].isalnum()]
    sized = {f"{words[0]} {words[1]} {words[3]}" for words in listed if len(words) == 4 and words[2] in "tTwWi"}
    rows = set(done.stdout.splitlines())
    assert sized - {row for row in sized if row.startswith("0000000000000000 ")} <= rows
    assert done.stderr == "T true\n"


def test_it_cannot_panic_and_clippy_has_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "mixed.toml").write_text(MIXED)
    for rule in "functions", "mixed.toml":
        for name, text in render.rust(X86_64, find(rule, tmp_path), tmp_path).items():
            (tmp_path / name).write_text(text)
    wanted = missing(tmp_path, ("bp_functions", "bp_mixed"))
    assert "bp_functions_end" in wanted
    assert [name for name in wanted if "panic" in name or "alloc" in name or name == "strlen"] == []


def reference(data: bytes) -> list[tuple[int, int, bytes] | None] | None:
    """The rows that a table has, addresses relative to it; with a last one that it has not."""
    if len(data) < 8 or (head := struct.unpack("<II", data[:8]))[1] != FIELDS.size:
        return None
    if 8 + head[0] * FIELDS.size > len(data):
        return None
    rows: list[tuple[int, int, bytes] | None] = []
    for at in range(8, 8 + head[0] * FIELDS.size, FIELDS.size):
        address, size, name = FIELDS.unpack_from(data, at)
        text, end, _ = data[at + 8 + name :].partition(b"\0") if 0 <= at + 8 + name <= len(data) else (b"", b"", b"")
        rows.append(((at + address) % 2**64, size, text) if end else None)
    return [*rows, None]


def shown(rows: list[tuple[int, int, bytes] | None] | None) -> str:
    if rows is None:
        return "none"
    each = [f"Some(({row[0]}, {row[1]}, {list(row[2])}))" if row else "None" for row in rows]
    return f"[{', '.join(each)}]"


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_damaged_tables_have_the_rows_that_python_finds(host: Path, seed: int) -> None:
    chance = random.Random(seed)
    tables = []
    for _ in range(50):
        count = chance.randrange(5)
        strings = b"".join(bytes(chance.choices(b"ab_\xff", k=chance.randrange(4))) + b"\0" for _ in range(3))
        rows = [
            FIELDS.pack(chance.choice((0, -1, -(2**31), 99)), chance.getrandbits(32), chance.randrange(-20, 90))
            for _ in range(count)
        ]
        data = bytearray(struct.pack("<II", count, FIELDS.size) + b"".join(rows) + strings)
        if chance.random() < 0.5:
            data[chance.randrange(len(data))] = chance.choice((0, 0x7F, 0xFF))
        tables.append(bytes(data[: chance.choice((len(data), chance.randrange(len(data) + 1)))]))
    given = b"".join(struct.pack("<I", len(data)) + data for data in tables)
    said = subprocess.run([os.fspath(host)], input=given, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert said.splitlines() == [shown(reference(data)) for data in tables]
