"""A program in Rust that looks up its own symbols, by the module that `buildplug runtime --language rust` writes."""

from pathlib import Path

from tests.conftest import tool
from tests.ld.programs import linked_by
from tests.samples import buildplug

CONFIG = '[kernel]\nname = "prog"\n[toolchain]\ncc = "gcc"\n[[table]]\nrule = "ksyms"\n'
PROGRAM = r"""
mod bp_ksyms;

#[no_mangle]
#[inline(never)]
extern "C" fn twice(n: u32) -> u32 {
    std::hint::black_box(n * 2)
}

fn main() {
    let table = bp_ksyms::Ksyms::linked().expect("a table");
    let at = twice as *const () as usize;
    let found = table.find(at + 1).unwrap();
    let named = table.lookup("twice").next().unwrap();
    println!("{} {:x} {} {:x}", found.name, named.address - at, found.letter, found.size);
    println!("{} {:#x} {}", table.symbolize(at + 2), at - table.get(found.index).unwrap().address, table.symbolize(1));
    println!("{}", table.symbolize_return(at + 1));
    println!("{} {}", table.len(), twice(1));
}
"""


def test_a_program_finds_its_own_symbols(tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    made = buildplug("runtime", ".", "--language", "rust", cwd=tmp_path)
    assert made.stdout == "bp_ksyms.rs\n"
    (tmp_path / "prog.rs").write_text(PROGRAM)
    program = linked_by(
        "rustc -Copt-level=1 -Clink-arg=-fuse-ld=bfd -Clink-arg=-B{dir} --edition=2021", "ld", tmp_path, "prog.rs"
    )
    listed = [line.split() for line in tool("nm", "-S", program).splitlines()]
    size = f"{next(int(words[1], 16) for words in listed if words[-1] == 'twice'):x}"
    count = len(buildplug("ksyms", program, cwd=tmp_path).stdout.splitlines())
    assert tool(program).splitlines() == [
        f"twice 0 T {size}", f"twice+0x2/0x{size} 0x0 0x1", f"twice+0x0/0x{size}", f"{count} 2",
    ]  # fmt: skip
