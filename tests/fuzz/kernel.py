"""A small kernel with all kinds of tables, built once: its images and records are what is mutated."""

from dataclasses import dataclass
from pathlib import Path

from buildplug.arch.registry import ARCHES, SYMBOLS_ONLY
from tests.elfwriter import ALLOC, EXEC, FUNC, NOBITS, OBJECT, WRITE, File, Relocation, Section, Symbol
from tests.samples import buildplug

SOURCES = {
    "k.c": """#include "bp_paravirt.h"
void pv_a(void); void pv_b(void); int at; int *place = &at;
int _start(void) { pv_a(); pv_b(); return *place; }
""",
    "ops.S": """.text
.irp name, pv_a, pv_b, native_b
.globl \\name
.type \\name, @function
\\name: ret
.size \\name, . - \\name
.endr
.section .note.GNU-stack, "", @progbits
""",
    "k.lds": """ENTRY(_start)
SECTIONS { . = 0x100000; .text : { *(.text*) } .rodata : { *(.rodata*) } .eh_frame : { *(.eh_frame) }
.data : { *(.data*) } .bss : { *(.bss*) } }
""",
    "ops.toml": """[ops.a]
function = "pv_a"
clobbers = ["rax"]
[ops.b]
function = "pv_b"
[backends.native]
a = { inline = "cli" }
b = { function = "native_b" }
[backends.other]
a = { nothing = true }
[groups.one]
ops = ["a"]
backends = ["native"]
""",
    "buildplug.toml": """[kernel]
name = "k"
arch = "x86_64"
[toolchain]
cc = "gcc"
[compile]
sources = ["k.c", "ops.S"]
include = ["."]
cflags = ["-O1", "-ffreestanding", "-fno-pic", "-fcf-protection=none"]
[link]
script = "k.lds"
flags = ["--no-warn-rwx-segments"]
[[table]]
rule = "paravirt"
ops = "ops.toml"
slack = 8
[[table]]
rule = "ksyms"
[[table]]
rule = "relocs"
""",
    "rule.toml": """name = "mine"
about = "functions"
[select]
rows = "symbols"
functions = ["*"]
exclude = ["x*"]
sections = [".text"]
[table]
fields = [ { name = "a", type = "i4", value = "address" }, { name = "size", type = "u4", value = "size" } ]
sort = ["address"]
""",
}


@dataclass(frozen=True)
class Kernel:
    """Where the kernel was built."""

    folder: Path

    @property
    def draft(self) -> Path:
        return self.folder / "build/k.draft"

    @property
    def final(self) -> Path:
        return self.folder / "build/k"


def build(folder: Path) -> Kernel:
    """Builds the kernel in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
    done = buildplug("build", "--provenance", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Kernel(folder)


def written() -> dict[str, bytes]:
    """An image of every architecture, by an ELF writer."""
    found = {}
    for name, arch in (ARCHES | SYMBOLS_ONLY).items():
        sections = [
            Section(".text", bytes(64), 0x1000, ALLOC | EXEC),
            Section(".rodata", b"abc\0" * 8, 0x2000, ALLOC),
            Section(".data", bytes(32), 0x3000, ALLOC | WRITE),
            Section(".bss", 0x100, 0x4000, ALLOC | WRITE, NOBITS),
        ]
        symbols = [
            Symbol("_text", 0x1000, 0), Symbol("start", 0x1000, 8, FUNC), Symbol("other", 0x1010, 8, FUNC),
            Symbol("value", 0x3000, 8, OBJECT, section=3), Symbol("nothing", section=0),
        ]  # fmt: skip
        kinds = list(arch.relocations) or [1]
        relocations = {1: [Relocation(0x1008, kind, 2, 4) for kind in kinds[:4]]}
        for extended in (False, True):
            file = File(
                sections, symbols, relocations, arch.bits, arch.byteorder, arch.machine, rela=arch.bits == 64,
                extended=extended,
            )  # fmt: skip
            found[f"{name}{'-extended' * extended}"] = file.write()
    return found
