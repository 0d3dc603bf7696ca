"""Linker scripts as they are read, and places in them that are refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.linker.script import outputs
from tests.linker.kernels import SCRIPTS, kernel

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


def test_symbols_of_a_script_are_read() -> None:
    text = """
    before = .; constant = 0x1000 * (2 + 3); absolute = ABSOLUTE(to); distance = (to - from) & 0xff;
    SECTIONS { . = 1M; .text 4096 : { start = .; *(.text) end = .; a.o(.x) } . = ALIGN(64); moved = .; PROVIDE(p = q);
        .data : { . += 8; HIDDEN(hidden = . + 8); BYTE(0) } ASSERT(x == 1, "no") last = other; }
    """
    found = {one.name: (output.name, one) for output in outputs(text) for one in output.assigns}
    assert {name: home for name, (home, _) in found.items()} == {
        "before": ".text", "constant": ".text", "absolute": ".text", "distance": ".text", "start": ".text",
        "end": ".text", "moved": ".text", "p": ".text", "hidden": ".data", "last": ".data",
    }  # fmt: skip
    assert {name for name, (_, one) in found.items() if one.is_constant} == {"constant", "absolute", "distance"}
    assert {name for name, (_, one) in found.items() if one.provided} == {"p"}
    assert {name for name, (_, one) in found.items() if one.first} == {"start", "hidden"}
    assert {name for name, (_, one) in found.items() if one.hidden} == {"hidden"}
    assert {name for name, (_, one) in found.items() if one.inside} == {"start", "end", "hidden"}
    assert {name for name, (_, one) in found.items() if one.moved} >= {"moved", "p"}
    assert [one.moves for one in outputs(text)] == [True, False]
    assert found["last"][1].value == ("other",)
    about = [(one.address, one.has_symbols, one.has_dots, one.has_room, one.has_data) for one in outputs(text)]
    assert about == [
        (4096, True, False, False, False), (None, True, True, True, True),
    ]  # fmt: skip


@given(st.text('{}();:>=,"* ATSECTIONS.PHDRSx\n') | st.text())
def test_any_text_is_read_as_some_script(text: str) -> None:
    assert all(output.name for output in outputs(text))
