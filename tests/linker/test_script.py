"""Linker scripts of every kind: the tables go where they should, and nothing else is the worse for it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.linker.script import outputs
from buildplug.pipeline.run import build
from buildplug.stage.proof import verify
from tests.conftest import tool
from tests.samples import buildplug, edit

KERNEL = """
static const char words[] = "some words";
const char *volatile where = words;
volatile int count = 3;
char stack[4096];
__attribute__((noinline)) void irq_timer(void) { count++; }
__attribute__((noinline)) void irq_serial(void) { count += words[count]; }
void _start(void) { irq_timer(); irq_serial(); where++; stack[count] = 1; for (;;); }
void unused(void) { count--; }
"""
RULE = """
name = "%s"
about = "handlers"
[select]
rows = "symbols"
functions = ["irq_*"]
[table]
flags = "%s"
fields = [{ name = "handler", type = "i4", value = "address" }]
"""
CONFIG = """
[toolchain]
cc = "gcc"
ld = "%s"
[compile]
sources = ["kernel.c"]
cflags = %s
[link]
%s
[[table]]
rule = "irqs.toml"
[[table]]
rule = "hooks.toml"
%s
"""
CFLAGS = """[
    "-O2", "-ffreestanding", "-fno-pic", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
    "-ffunction-sections", "-mcmodel=kernel",
]"""
LINKERS = """
    .symtab 0 : { *(.symtab) } .strtab 0 : { *(.strtab) } .shstrtab 0 : { *(.shstrtab) } .comment 0 : { *(.comment) }
    .note.GNU-stack 0 : { *(.note.GNU-stack) } .rela : { *(.rela.*) } .got : { *(.got*) }
    .plt : { *(.plt .iplt .igot.plt) }
"""

# Sections in the order of the script, those of the linker last.
SCRIPTS = {
    "plain": """SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.*) }
        .rodata : { *(.rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "segments": """
    PHDRS { text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6); note PT_NOTE FLAGS(4); }
    SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.*) } :text
        .rodata : ALIGN(4096) { *(.rodata .rodata.*) LONG(4) LONG(0) LONG(1) LONG(0x554e47) } :rodata :note
        .data : ALIGN(4096) { *(.data .data.*) } :data
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "regions": """
    MEMORY { rom (rx) : ORIGIN = 0x1000000, LENGTH = 1M  ram (rw) : ORIGIN = 0x2000000, LENGTH = 1M }
    SECTIONS {
        .text : { *(.text .text.*) } > rom
        .rodata : { *(.rodata .rodata.*) } > rom
        .data : { data_start = .; *(.data .data.*) } > ram AT> rom
        .bss (NOLOAD) : { *(.bss .bss.*) *(COMMON) } > ram
    }""",
    "high half": """
    BASE = 0xffffffff80000000;
    SECTIONS {
        . = BASE + 0x100000;
        .text : AT(ADDR(.text) - BASE) { *(.text .text.*) }
        .rodata ALIGN(4096) : AT(ADDR(.rodata) - BASE) { *(.rodata .rodata.*) }
        .data ALIGN(4096) : AT(ADDR(.data) - BASE) { *(.data .data.*) }
        .bss : AT(ADDR(.bss) - BASE) { *(.bss .bss.*) *(COMMON) }
    }""",
    "discards": """
    ENTRY(_start)
    SECTIONS {
        . = 0x1000000;
        /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
        .text : { *(.text .text.*) . = ALIGN(. * 1, 16); }
        .rodata : { *(.rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
        ASSERT(SIZEOF(.text) > 0, "no { text : }")
        /DISCARD/ : { *(.b*) *(.i*) }
    }""",
    "no read-only data": """SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.* .rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "included": "INCLUDE rest.lds",
}
SCRIPTS = {name: re.sub(r"}\s*$", f"{LINKERS}}}", text) for name, text in SCRIPTS.items()}
FLAGS = {"garbage": ["--gc-sections"], "no orphans": ["--orphan-handling=error"], "script": []}


def kernel(
    folder: Path, ld: str, script: str, flags: list[str], link: str = "", table: str = "", *, cflags: str = CFLAGS,
    code: str = KERNEL,
) -> Path:  # fmt: skip
    """A kernel with a table that is only read and one that is written to, which nothing in it refers to."""
    link += f"\nflags = {json.dumps(['-e', '_start', *flags])}"
    if script:
        link += '\nscript = "kernel.lds"'
        (folder / "kernel.lds").write_text(script)
        (folder / "rest.lds").write_text(SCRIPTS["plain"])
    (folder / "kernel.c").write_text(code)
    for name, kind in (("irqs", "a"), ("hooks", "aw")):
        (folder / f"{name}.toml").write_text(RULE % (name, kind))
    (folder / "buildplug.toml").write_text(CONFIG % (ld, cflags, link, table))
    build(folder, None, None)
    return folder / "build" / "vmlinux"


def mapping(image: Path) -> dict[str, list[str]]:
    """Section -> the type and flags of each segment that holds it, as readelf says."""
    said = tool("readelf", "-lW", image)
    segments = [
        f"{m[1]} {m[2].replace(' ', '')}" for m in re.finditer(r"^  (\w+) +(?:0x\w+ ){5}(...) +\w+$", said, re.M)
    ]
    found: dict[str, list[str]] = {}
    for number, names in re.findall(r"^   (\d\d) +(.*)$", said, re.M):
        for name in names.split():
            found.setdefault(name, []).append(segments[int(number)])
    return found


def plain(folder: Path, ld: str, script: str, flags: list[str]) -> dict[str, list[str]]:
    """The mapping of the same link as it would be without buildplug."""
    scripts = ["-T", "kernel.lds"] if script else []
    tool(ld, "-e", "_start", *flags, *scripts, "build/obj/kernel.c.o", "-o", "plain", cwd=folder)
    return mapping(folder / "plain")


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("kind", FLAGS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_tables_are_loaded_as_they_should_and_the_rest_as_without_them(
    tmp_path: Path, ld: str, kind: str, script: str
) -> None:
    found = mapping(kernel(tmp_path, ld, SCRIPTS[script], FLAGS[kind]))
    without = plain(tmp_path, ld, SCRIPTS[script], FLAGS[kind])
    assert {name: found[name] for name in without} == without
    assert found.keys() - without.keys() == {".bp_irqs", ".bp_hooks"}
    assert [segment[:6] for segment in found[".bp_irqs"]] == ["LOAD R"]
    assert [segment[:7] for segment in found[".bp_hooks"]] == ["LOAD RW"]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("script", ["plain", "segments", "regions"])
def test_no_script_needs_to_name_the_records_that_our_macros_leave(tmp_path: Path, ld: str, script: str) -> None:
    code = '#include "bp_exports.h"\nBP_EXPORT(irq_timer, "TIMERS");\nBP_EXPORT(count, "");' + KERNEL
    flags = ["--orphan-handling=error", "--gc-sections"]
    image = kernel(tmp_path, ld, SCRIPTS[script], flags, table='[[table]]\nrule = "exports"', code=code)
    found = mapping(image)
    assert ".bp_exports" in found
    assert not any(name.startswith(".bp_records") for name in found)
    listed = buildplug("extract", image, "--rule", "exports").stdout.splitlines()
    assert [line.partition("namespace=")[2].split()[0:1] for line in listed] == [[], ["TIMERS"]]


def loaded_at(image: Path, symbol: str) -> tuple[int, int]:
    """Address and load address of a symbol, as nm and readelf say."""
    at = next(int(line.split()[0], 16) for line in tool("nm", image).splitlines() if line.endswith(f" {symbol}"))
    rows = re.findall(r"^  LOAD +0x\w+ 0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", tool("readelf", "-lW", image), re.M)
    segments = [tuple(int(text, 16) for text in row) for row in rows]
    return at, next(at - start + load for start, load, size in segments if start <= at < start + size)


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_tables_of_a_kernel_in_the_high_half_are_loaded_low(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["high half"], [])
    for symbol in ("bp_irqs", "bp_hooks"):
        at, load = loaded_at(image, symbol)
        assert at - load == 0xFFFFFFFF80000000


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_tables_go_into_the_regions_of_what_they_stand_behind(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["regions"], ["--fatal-warnings", "--no-warn-rwx-segments"][: 1 + (ld == "ld")])
    assert [address >> 20 for address in loaded_at(image, "bp_irqs")] == [0x10, 0x10]
    assert [address >> 20 for address in loaded_at(image, "bp_hooks")] == [0x20, 0x10]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_linker_that_wraps_the_linker_places_them_in_the_same_way(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["regions"], [])
    words = ["--config", "buildplug.toml", "-e", "_start", "--emit-relocs", "--fatal-warnings", "-Tkernel.lds"]
    words += ["--no-warn-rwx-segments"] * (ld == "ld")
    done = buildplug("ld", *words, "build/obj/kernel.c.o", "-o", "vmlinux", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "vmlinux").read_bytes() == image.read_bytes()
    (tmp_path / "vmlinux").unlink()
    (tmp_path / "inner").write_text("-Tkernel.lds")
    (tmp_path / "words").write_text(" ".join("@inner" if word == "-Tkernel.lds" else word for word in words[2:]))
    done = buildplug("ld", *words[:2], "@words", "build/obj/kernel.c.o", "-o", "vmlinux", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "vmlinux").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_table_may_be_told_its_place(tmp_path: Path, ld: str) -> None:
    script = SCRIPTS["segments"].replace("note PT_NOTE", "extra PT_LOAD FLAGS(6); note PT_NOTE")
    found = mapping(kernel(tmp_path, ld, script, [], table='after = ".bss"\ninto = ":extra"'))
    assert found[".bp_hooks"] == ["LOAD RW"]
    order = [line.split()[-1] for line in tool("nm", "-n", tmp_path / "build" / "vmlinux").splitlines()]
    assert order.index("stack") < order.index("bp_hooks")


PIE = ["-pie", "--no-dynamic-linker"]


@pytest.mark.parametrize(
    ("ld", "flags"),
    [
        ("ld", []),
        ("ld", ["--gc-sections"]),
        ("ld.lld", []),
        ("ld.lld", ["--gc-sections"]),
        ("ld.lld", PIE),
        ("ld", PIE),
    ],
)
def test_without_a_script_the_linker_has_its_own(tmp_path: Path, ld: str, flags: list[str]) -> None:
    cflags = CFLAGS.replace("-mcmodel=kernel", "-fpie") if "-pie" in flags else CFLAGS
    found = mapping(kernel(tmp_path, ld, "", flags, cflags=cflags))
    without = plain(tmp_path, ld, "", flags)
    assert {name: found[name] for name in without} == without
    assert [segment[:6] for segment in found[".bp_irqs"]] == ["LOAD R"]
    assert found[".bp_hooks"] == ["LOAD RW"]


REFUSED = {
    "no section of its kind": (
        SCRIPTS["plain"].replace(".data :", ".vars :"), "", "",
        r'kernel.lds: expected a section .data to place rule hooks after, found .text, .*; set after = "…" in its',
    ),
    "discarded": (
        SCRIPTS["plain"].replace(".text :", "/DISCARD/ : { *(.bp*) } .text :"), "", "",
        "kernel.lds: /DISCARD/ takes .bp*, which matches the table .bp_irqs of rule irqs; place it after .rodata, or",
    ),
    "swallowed": (
        SCRIPTS["plain"].replace("*(.rodata ", "*(EXCLUDE_FILE(a.o) .rodata .* "), "", "",
        "kernel.lds: .rodata takes .*, which matches the table .bp_irqs",
    ),
    "read-only section": (
        SCRIPTS["plain"], "", 'after = ".rodata"',
        'after: expected a writable section for rule hooks, found .rodata; set after = ".data" in its',
    ),
    "read-only segment": (
        SCRIPTS["segments"], "", 'into = ":rodata"',
        'rule hooks: expected .bp_hooks in one PT_LOAD, found it in one of flags R, and it needs RW; set after',
    ),
    "segment of what is only read": (
        SCRIPTS["segments"].replace("rodata PT_LOAD FLAGS(4)", "rodata PT_LOAD"), "",
        'after = ".rodata"\ninto = ":rodata"',
        "rule hooks: expected .bp_hooks in one PT_LOAD, found it in one with .rodata, which are only read, and nothing",
    ),
    "in a note": (
        SCRIPTS["segments"], 'into = ":rodata :note"', 'into = ":data"',
        'rule irqs: expected .bp_irqs in one PT_LOAD, found it in 1, and in one of type 4; name its segment',
    ),
    "not loaded": (
        SCRIPTS["segments"], 'into = ":note"', 'into = ":data"',
        "rule irqs: expected .bp_irqs in one PT_LOAD, found it in 0",
    ),
    "in two": (
        SCRIPTS["segments"], 'into = ":rodata :text"', 'into = ":data"',
        "rule irqs: expected .bp_irqs in one PT_LOAD, found it in 2",
    ),
    "no place": (
        SCRIPTS["plain"], 'into = "> rom } evil"', "",
        "into: expected what may follow an output section, found '> rom } evil'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("refused", REFUSED)
def test_a_bad_place_is_one_line_that_says_the_setting(tmp_path: Path, ld: str, refused: str) -> None:
    script, link, table, said = REFUSED[refused]
    with pytest.raises(BuildplugError) as caught:
        kernel(tmp_path, ld, script, [], link, table)
    assert re.search(said if "…" in said else re.escape(said), str(caught.value)), caught.value


def test_verify_notices_a_segment_that_changed_its_flags(tmp_path: Path) -> None:
    final = kernel(tmp_path, "ld", SCRIPTS["segments"], [])
    draft, changed = Image(final.with_name("vmlinux.draft")), bytearray(final.read_bytes())
    rules = [(find(name, tmp_path), None) for name in ("irqs.toml", "hooks.toml")]
    assert verify(draft, Image(final), rules).changed == ()
    offset = int.from_bytes(changed[32:40], "little")
    changed[offset + 4] |= 2  # p_flags of the first
    final.write_bytes(changed)
    assert verify(draft, Image(final), rules).changed == (".text: its segments RX became RWX",)


def test_sections_of_a_script_are_read() -> None:
    text = """
    OUTPUT_ARCH(i386:x86-64) PHDRS { a PT_LOAD; n PT_NOTE; b PT_LOAD FLAGS(6); }
    MEMORY { r (rx) : ORIGIN = 0, LENGTH = 4 }
    x = 1 ? 2 : 3;
    SECTIONS { .one 0x1000 : AT(ADDR(.one) - x) { . = ALIGN(a * (b * 2)); KEEP(*(SORT(.one*)))
            *(EXCLUDE_FILE(*y.o) .z) } :a :n =0x90
        PROVIDE(y = .); ".two words" (NOLOAD) : { z.o(.two) LONG(x * 3) } >r AT >r, .three : { { } } :n ASSERT(1, "}{")
        .four BLOCK(8) : { lib.a:m.o ( .four COMMON ) } AT>r :b :n . = 9; /DISCARD/ : { *(.c) } }
    """
    assert [(output.name, output.into) for output in outputs(text)] == [
        (".one", ":a"), (".two words", "> r AT> r :a"), (".three", ""), (".four", "AT> r :b"), ("/DISCARD/", ":b"),
    ]  # fmt: skip
    taken = [set(output.takes) - {"(", ")"} for output in outputs(text)]
    assert taken == [{"SORT", ".one*", "EXCLUDE_FILE", "*y.o", ".z"}, {".two"}, set(), {".four", "COMMON"}, {".c"}]


@given(st.text('{}();:>=,"* ATSECTIONS.PHDRSx\n') | st.text())
def test_any_text_is_read_as_some_script(text: str) -> None:
    assert all(output.name for output in outputs(text))


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_without_a_script_the_relocations_that_are_kept_are_true(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, "", [], table='[[table]]\nrule = "relocs"\nslack = 64')
    edit(
        tmp_path / "hooks.toml",
        ('type = "i4"', 'type = "u8"'),
        ('value = "address"', 'value = "address", base = "zero"'),
    )
    build(tmp_path, None, None)
    rules = ("--rule", "irqs.toml", "--rule", "hooks.toml")
    said = buildplug("verify", *rules, image.with_name("vmlinux.draft"), image, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    starts = {int(row, 16) for row in re.findall(r"PROGBITS +(\w+)", tool("readelf", "-SW", image))}
    anchors = [line.split() for line in tool("nm", image).splitlines() if "__bp_hooks_section_" in line]
    assert anchors
    assert {int(words[0], 16) for words in anchors} <= starts
