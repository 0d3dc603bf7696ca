"""What is expected of a link before it, compared with the link: names and letters of its symbols."""

from collections import Counter
from pathlib import Path

import pytest

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.image.symbols import letters
from buildplug.linker import family
from buildplug.linker.script import Placement, outputs
from buildplug.stage.forecast import forecast
from tests.conftest import tool

CODE = """
    .globl _start, hidden, by_script, found
    .hidden hidden
_start: ret
hidden: ret
by_script: ret
    .data
found: .quad _start
"""
SCRIPT = """SECTIONS {
    .text : { *(.text) }
    .rela.dyn : { rela_start = .; *(.rela.*) rela_end = .; }
    .bp_ksyms : { *(.bp_ksyms) }
    .data : { by_script = .; *(.data) }
    .dynamic : { *(.dynamic) }
    /DISCARD/ : { *(.note*) }
}"""


ENDING = """SECTIONS {
    .text : { *(.text) }
    .bp_ksyms : { *(.bp_ksyms) }
    .data : { *(.data) }
    .unused : { *(.unused) }
    .padding : { BYTE(0); . = ALIGN(512); }
    padded = .;
    .bss : { *(.bss) }
    . = ALIGN(4096); before = .;
    end = .;
    . = ALIGN(4096); behind = .;
    .rodata : { *(.rodata) . = ALIGN(8); }
    . = ALIGN(4096); far = .;
    .last : { *(.last) }
    /DISCARD/ : { *(.note*) }
}"""


@pytest.mark.parametrize("flags", [(), ("-shared", "-Bsymbolic")], ids=["static", "shared"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_have_the_letters_of_the_link(ld: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    found, said = letters_of(CODE, SCRIPT, ld, flags, tmp_path)
    wanted = {b"_start", b"hidden", b"by_script", b"found", b"rela_start", b"rela_end"}
    rows = [sorted(row for row in counted.elements() if row[1] in wanted) for counted in (found, said)]
    if not flags:  # then GNU ld has no .rela.dyn, whose symbols go elsewhere
        rows = [[row for row in part if not row[1].startswith(b"rela")] for part in rows]
    assert rows[0] == rows[1]
    assert (("t" if flags or ld == "ld.lld" else "T"), b"hidden") in rows[0]


@pytest.mark.parametrize("end", ["_end", "last_page"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_between_sections_have_the_letters_of_the_link(ld: str, end: str, tmp_path: Path) -> None:
    code = """
        .globl _start
    _start: ret
        .bss; .skip 8
        .section .rodata, "a"; .quad _start
        .data; .quad _start
        .section .last, "aw"; .quad _start
    """
    found, said = letters_of(code, ENDING.replace("end =", f"{end} ="), ld, (), tmp_path)
    wanted = {b"padded", b"before", b"behind", b"far", end.encode()}
    assert {row for row in found if row[1] in wanted} == {row for row in said if row[1] in wanted}
    assert (("D" if ld == "ld.lld" else "R"), b"padded") in found
    assert (("B" if ld == "ld.lld" or end == "_end" else "R"), b"before") in found


ASSIGNED = """SECTIONS {
    .bp_ksyms : { *(.bp_ksyms) }
    .text : { text = .; *(.text) } :code = 0
    .empty : { empty_start = .; KEEP(*(.empty)) empty_end = .; }
    .data : { *(.data) }
    . = ALIGN(512); before_dropped = .;
    .dropped : { *(.dropped) }
    behind_dropped = .;
    .late : { *(.late) }
    .dynamic : { *(.dynamic) }
    .dynsym : { *(.dynsym) }
    .dynstr : { *(.dynstr) }
    .hash : { *(.hash) }
    .gnu.hash : { *(.gnu.hash) }
    .padding : { BYTE(0); . = ALIGN(512); }
    padded = .; wanted = .;
    size = padded - text; high = ((padded - text) >> 32) & 0xff; rounded = ALIGN(ABSOLUTE(padded), 4096);
    PROVIDE(alias = found); PROVIDE(alias_of_inside = text); PROVIDE(seen_alias = text); PROVIDE(unwanted = text);
    alias_of_between = padded; HIDDEN(hidden = text);
    /DISCARD/ : { *(.note*) *(.bss) }
} PHDRS { code PT_LOAD; }"""


@pytest.mark.parametrize("flags", [(), ("-shared", "-Bsymbolic")], ids=["static", "shared"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld-19"])
def test_symbols_of_a_script_have_the_letters_of_the_link(ld: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    code = """
        .globl _start, found
        .hidden alias, alias_of_inside, wanted
    _start: ret
        .data
    found: .quad alias, alias_of_inside, seen_alias, wanted
        .section .late, "a"; .quad _start
    """
    linked, said = letters_of(code, ASSIGNED, ld, flags, tmp_path)
    assert (("A" if ld == "ld" else "R"), b"alias_of_between") in linked
    assert (("d" if flags or ld != "ld" else "D"), b"alias") in linked
    by_linker = {b"", b"bp_ksyms"} | ({b"_DYNAMIC"} if ld == "ld" else set())
    assert {row for row in linked if row[1] not in by_linker} == {row for row in said if row[1] not in by_linker}


DROPPED = """SECTIONS {
    .text : { first = .; *(.text) }
    behind_text = .;
    .notes : { ended_text = .; }
    .rodata : { *(.rodata) }
    .bp_ksyms : { *(.bp_ksyms) }
    .rest : { ended_rodata = .; }
    .data : { *(.data) }
    size = behind_text - first;
    . = ALIGN(4);
    .lookup : { lookup = .; . += size + 4; lookup_end = .; }
    . = ALIGN(4096);
    .last : { ended_lookup = .; }
    .more : { *(.more) }
    /DISCARD/ : { *(.note* .bss) }
}"""


@pytest.mark.parametrize("more", ["a", "aw", "ax"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld-19"])
def test_symbols_of_dropped_sections_and_of_room_alone_have_the_letters_of_the_link(
    ld: str, more: str, tmp_path: Path
) -> None:
    code = f'{CODE}\n    .section .rodata, "a"; .quad 1\n    .section .more, "{more}"; .quad 1\n'
    found, said = letters_of(code, DROPPED, ld, (), tmp_path)
    names = "first behind_text ended_text ended_rodata size lookup lookup_end ended_lookup"
    wanted = set(names.encode().split())
    assert {row for row in found if row[1] in wanted} == {row for row in said if row[1] in wanted}
    assert ("A", b"size") in found


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_symbol_in_front_of_a_section_with_an_address_of_its_own_is_not_in_that(ld: str, tmp_path: Path) -> None:
    """As __per_cpu_load of Linux, which would have the letter of per-CPU symbols."""
    text = """SECTIONS {
        . = 0x100000; .text : { *(.text) } . = ALIGN(64); load = .; .percpu 0 : { start = .; *(.percpu) end = .; }
        . = load + SIZEOF(.percpu); .bp_ksyms : { *(.bp_ksyms) } /DISCARD/ : { *(.note*) }
    }"""
    code = '    .globl _start\n_start: ret\n    .section .percpu, "aw"\n    .quad 1\n'
    images = linked_and_expected(code, text, ld, (), tmp_path)
    for image in images:
        assert (image.address_of("load") or 0) > 0x1000 > (image.address_of("end") or 0)


def letters_of(
    code: str, script: str, ld: str, flags: tuple[str, ...], folder: Path
) -> list[Counter[tuple[str, bytes]]]:
    """The symbols of a link, by their letters and names; and those that are expected before it."""
    return [
        Counter(zip(map(chr, letters(image).tolist()), image.name_table.texts(), strict=True))
        for image in linked_and_expected(code, script, ld, flags, folder)
    ]


def linked_and_expected(code: str, script: str, ld: str, flags: tuple[str, ...], folder: Path) -> tuple[Image, Image]:
    (folder / "k.S").write_text(code)
    (folder / "k.lds").write_text(script)
    tool("gcc", "-c", "k.S", cwd=folder)
    tool(ld, "-z", "notext", *flags, "-T", "k.lds", "k.o", "-o", "k", cwd=folder)
    placement = Placement(outputs=tuple(outputs(script)))
    rules = [find("ksyms", folder)]
    expected = forecast([folder / "k.o"], placement, rules, family.of(ld), shared=bool(flags))
    return Image(folder / "k"), expected


def test_a_shared_image_has_a_table_of_addresses_from_the_linker(tmp_path: Path) -> None:
    """As Linux for arm64 is."""
    text = """SECTIONS {
        .text : { *(.text) } . = ALIGN(4096); behind = .; .got : { *(.got) } .more : { *(.more) }
        /DISCARD/ : { *(.note* .data .bss) }
    }"""
    (tmp_path / "k.S").write_text('    .globl _start\n_start: ret\n    .section .more, "a"\n    .quad 1\n')
    (tmp_path / "k.lds").write_text(text)
    tool("aarch64-linux-gnu-gcc", "-c", "k.S", cwd=tmp_path)
    tool("aarch64-linux-gnu-ld", "-shared", "-T", "k.lds", "k.o", "-o", "k", cwd=tmp_path)
    placement, rules = Placement(outputs=tuple(outputs(text))), [find("ksyms", tmp_path)]
    expected = forecast([tmp_path / "k.o"], placement, rules, family.of("aarch64-linux-gnu-ld"), shared=True)
    for image in (Image(tmp_path / "k"), expected):
        assert chr(letters(image)[image.names.index("behind")]) == "D"
