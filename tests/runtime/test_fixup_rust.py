"""What the module of the fixup in Rust needs, and what it has besides the fixup: names, texts, backends' assembly. That
it does what C and Python do, the other tests of the fixup say."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.config import ops
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.runtime.rust import STRICT, missing

OPS = {
    "x86_64": Path("sample_kernel/paravirt.toml"), "aarch64": Path("tests/aarch64_kernel/paravirt.toml"),
    "riscv64": Path("tests/riscv64_kernel/paravirt.toml"),
}  # fmt: skip
ROOT = Path(__file__).parents[2]
USE = """
#[no_mangle]
unsafe fn used(start: usize, end: usize) -> bool {
    let image = bp_paravirt::Image::new(start, end);
    let backend = bp_paravirt::Backend::ALL[0];
    image.fixup(backend).is_ok() && image.check(Some(backend), None).is_ok() && backend.name().is_empty()
}
"""
PROGRAM = """
mod bp_paravirt;
use bp_paravirt::{Backend, Error, Image, Refusal};

#[no_mangle]
static bp_paravirt: [u32; 8] = [0; 8];

fn main() {
    println!("{:?}", Backend::ALL.map(Backend::name));
    println!("{}", Refusal { error: Error::BadBytes, entry: 7 });
    let table = bp_paravirt.as_ptr() as usize;
    assert!(bp_paravirt::table() == table);
    let image = unsafe { Image::new(table, table + 32) };
    println!("{:?}", image.check(None, Some(Backend::r#loop)));
    for backend in Backend::ALL {
        println!("{:?}", unsafe { *(backend.address() as *const [u32; 6]) });
    }
}
"""


@pytest.mark.parametrize("arch", [arch for arch in ARCHES.values() if arch.name in OPS])
def test_it_needs_no_allocator_cannot_panic_and_clippy_has_nothing_to_say(tmp_path: Path, arch: Arch) -> None:
    declared = ops.read(ROOT / OPS[arch.name], arch)
    for name, text in render.rust(arch, find("paravirt", tmp_path), tmp_path, declared).items():
        ours = text if arch is X86_64 else text.partition("core::arch::global_asm!")[0]
        (tmp_path / name).write_text(ours)
    wanted = missing(tmp_path, ["bp_paravirt"], USE)
    assert "bp_paravirt" in wanted
    assert [name for name in wanted if "panic" in name or "alloc" in name] == []


def test_backends_have_their_names_and_what_the_assembly_for_c_has(tmp_path: Path) -> None:
    (tmp_path / "ops.toml").write_text("""
[ops.one]
function = "pv_one"
[ops.two]
function = "pv_two"
[backends.loop]
one = { inline = "mov {{x}}, %{ax}; nop" }
[backends.xen_pv]
one = { nothing = true }
two = { inline = "ud2" }
""")
    declared = ops.read(tmp_path / "ops.toml", X86_64)
    for name, text in render.rust(X86_64, find("paravirt", tmp_path), tmp_path, declared).items():
        (tmp_path / name).write_text(text.replace("{x}", "%rbx"))
    (tmp_path / "prog.rs").write_text(PROGRAM)
    tool("rustc", *STRICT, "prog.rs", "-o", "prog", cwd=tmp_path)
    names, refusal, checked, first, second = tool(tmp_path / "prog").splitlines()
    assert names == '["loop", "xen_pv"]'
    assert refusal == "entry 7: site does not hold what the table says"
    assert checked == "Err(Refusal { error: BadMagic, entry: 0 })"
    magic = 0x45425042
    assert first.startswith(f"[{magic}, 2, ")
    assert first.endswith(f", 4, 0, {0xFFFFFFFF}]")  # a mov and a nop; the default
    assert second.startswith(f"[{magic}, 2, ")
    assert second.endswith(", 2]")
