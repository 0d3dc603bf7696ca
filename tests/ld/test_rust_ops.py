"""A kernel in Rust that calls its ops by pv_op!, and redirects them by the fixup in Rust, booted."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.fixup import apply
from buildplug.tables.sites_format import decode
from sample_kernel.boot import read_memory_at
from tests.conftest import tool
from tests.ld.crates import cargo
from tests.samples import buildplug, edit

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # with buildplug and buildplug-ld
QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-no-reboot", "-display", "none", "-serial", "stdio")
TABLE = """
[[table]]
rule = "paravirt"
ops = "ops.toml"
"""
OPS = """
[ops.flags]
function = "pv_flags"
clobbers = ["ax", "memory"]
[ops.cr3]
function = "pv_cr3"
clobbers = ["ax"]
[ops.twice]
function = "pv_twice"
clobbers = ["r9", "flags"]
[ops.nothing]
function = "pv_nothing"
clobbers = []
[ops.put]
function = "pv_put"
clobbers = ["memory"]
[ops.sum]
function = "pv_sum"
[ops.cpuid]
slot = "pv_cpu_ops[0]"
clobbers = ["ax", "bx", "cx", "dx"]

[backends.native]
flags = { inline = "pushf; pop %rax" }
cr3 = { inline = "mov %cr3, %rax" }
twice = { inline = "add %r9, %r9" }
nothing = { nothing = true }
cpuid = { inline = "cpuid" }
[backends.shim]
flags = { function = "shim_flags" }
cr3 = { function = "shim_cr3" }
twice = { function = "shim_twice" }
put = { function = "shim_put" }
sum = { function = "shim_sum" }
cpuid = { function = "shim_cpuid" }
"""
LINES = {  # flags and cr3 are as before, or as the shim says; leaf 0x40000000 of QEMU is "TCGTCGTCGTCG"
    "native": ["0x{flags} 0x{cr3} 42 5 7 [11, 22]", "0x40000001 0x54474354 0x43544743 0x47435447"],
    "shim": ["0x1234 0x5000 63 77 304 [11, 22]", "0x40000001 0x2 0x3 0x9"],
}


@pytest.fixture(scope="module", params=[1, 3])
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built at a level of optimization."""
    folder = tmp_path_factory.mktemp("ops") / "kernel"
    assert buildplug("new", folder, "--rust").returncode == 0
    shutil.copy(Path(__file__).with_name("rust_ops.rs"), folder / "src" / "main.rs")
    (folder / "ops.toml").write_text(OPS)
    (folder / "buildplug.toml").write_text((folder / "buildplug.toml").read_text() + TABLE)
    edit(folder / "boot.S", ("\tcall main\n", "\tmovl %ebx, %edi\n\tcall main\n"))  # where PVH has its information
    edit(folder / "Cargo.toml", ("opt-level = 1", f"opt-level = {request.param}"))
    cargo(folder, "build", PATH=PATH)
    return folder / "target" / "x86_64-unknown-linux-gnu" / "debug" / "kernel"


@pytest.mark.parametrize("backend", LINES)
def test_ops_return_what_the_backend_has_and_memory_is_the_references(
    kernel: Path, backend: str, tmp_path: Path
) -> None:
    apply(Image(kernel), "bp_paravirt", f"bp_paravirt_{backend}", tmp_path / "reference")
    reference = Image(tmp_path / "reference")
    sections = [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    code = [s for s in sections if s.name in (".text", ".rodata") or s.name.startswith(".bp_")]
    command = [*QEMU, "-kernel", os.fspath(kernel), "-append", backend]
    output, contents = read_memory_at(command, "hold", lambda _: [(s.address, s.size) for s in code])
    linked = re.search(r"linked: 0x(\w+) 0x(\w+) ", output)
    assert linked, output
    expected = [f"{backend}: {line}".format(flags=linked[1], cr3=linked[2]) for line in LINES[backend]]
    assert output.splitlines()[-3:] == [*expected, "hold"]
    assert [s.name for s, c in zip(code, contents, strict=True) if c != reference.bytes_of(s).tobytes()] == []
    assert len(code) == 4


def test_sites_of_pv_op_are_found_as_those_of_c(kernel: Path) -> None:
    text = tool("objdump", "-d", "--no-show-raw-insn", kernel)
    calls = [int(at, 16) for at in re.findall(r"^ *(\w+):\tcall .*<pv_\w+>$", text, re.M)]
    image = Image(kernel)
    section = image.section(".bp_paravirt")
    rows = decode(image.bytes_of(section).tobytes(), image.arch, kernel).rows(section.address, image.arch.modulus)
    assert len(calls) == 7
    assert [at for at, form, _ in rows if not image.arch.forms[form].kind.data] == calls
