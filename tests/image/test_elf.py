"""The reader: against what was written, against readelf, and against files that are no ELF files."""

import dataclasses
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch import x86
from buildplug.arch.registry import ARCHES
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import SHN_ABS
from tests.conftest import LOW, Link, Written, tool
from tests.elfwriter import (
    ALLOC,
    ET_REL,
    EXEC,
    FUNC,
    LOCAL,
    NOBITS,
    OBJECT,
    SECTION,
    WRITE,
    File,
    Relocation,
    Section,
    Symbol,
)

BIG_ENDIAN = dataclasses.replace(x86.X86_64, name="big32", machine=0x1234, bits=32, byteorder=">")

TEXT = Section(".text", bytes(range(64)), 0x1000, ALLOC | EXEC)
DATA = Section(".data", bytes(64), 0x2000, ALLOC | WRITE)
SMALL = File(
    (TEXT, DATA, Section(".bss", 0x100, 0x3000, ALLOC | WRITE, NOBITS)),
    (
        Symbol("", 0x1000, type=SECTION, bind=LOCAL, section=1),
        Symbol("function", 0x1010, 5, FUNC, section=1),
        Symbol("object", 0x2008, 8, OBJECT, section=2),
        Symbol("absolute", 77, section=SHN_ABS),
    ),
    {1: (Relocation(0x1004, 2, 2, -4), Relocation(0x1008, 4, 3, 12)), 2: (Relocation(0x2000, 1, 1, 0x30),)},
)


def read_all(image: Image) -> None:
    """Reads whatever an image has."""
    names = image.names
    assert len(names) == len(image.symbols)
    assert [image.name_of(i) for i in range(len(names))] == names
    for name in names[:5]:
        image.address_of(name)
    for section, rows in image.relocations():
        assert len(rows) == 0 or rows["offset"].max() < section.size
        _ = image.symbols[rows["symbol"]]


def refused(path: Path, expected: str) -> None:
    """That reading a file is an error of one line with the file's name and what was expected."""
    with pytest.raises(BuildplugError) as caught:
        read_all(Image(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert re.search(expected, str(caught.value)), caught.value


def test_sections_are_what_was_written(written: Written) -> None:
    image = Image(written(SMALL))
    assert [s.name for s in image.sections[:4]] == ["", ".text", ".data", ".bss"]
    text, _, bss = image.sections[1:4]
    assert (text.address, text.size, text.alloc, text.executable) == (0x1000, 64, True, True)
    assert image.bytes_of(text).tobytes() == TEXT.content
    assert (bss.size, bss.executable, image.bytes_of(bss).tobytes()) == (0x100, False, bytes(0x100))


def test_section_at_knows_the_ends_of_a_section(written: Written) -> None:
    image = Image(written(SMALL))
    found = [image.section_at(address) for address in (0xFFF, 0x1000, 0x103F, 0x1040)]
    assert [section and section.name for section in found] == [None, ".text", ".text", None]


def test_symbols_are_what_was_written(written: Written) -> None:
    image = Image(written(SMALL))
    assert image.names == ["", ".text", "function", "object", "absolute"]
    assert image.symbols["value"].tolist() == [0, 0x1000, 0x1010, 0x2008, 77]
    assert image.symbols["size"].tolist() == [0, 0, 5, 8, 0]
    assert image.symbols["type"].tolist() == [0, SECTION, FUNC, OBJECT, 0]
    assert image.symbols["bind"].tolist() == [0, 0, 1, 1, 1]
    assert image.symbols["section"].tolist() == [0, 1, 1, 2, SHN_ABS]


def test_relocations_are_what_was_written(written: Written) -> None:
    found = {s.name: rows.tolist() for s, rows in Image(written(SMALL)).relocations()}
    assert found == {".text": [(4, 2, 2, -4), (8, 4, 3, 12)], ".data": [(0, 1, 1, 0x30)]}


def test_relocations_of_sections_that_are_not_loaded_are_left_out(written: Written) -> None:
    debug = Section(".debug", bytes(16))
    path = written(dataclasses.replace(SMALL, sections=(TEXT, debug), relocations={2: (Relocation(8, 1, 1),)}))
    assert [s.name for s, _ in Image(path).relocations()] == []
    assert not Image(path).has_relocations


def test_relocations_against_chosen_symbols_are_those_of_them_all(written: Written) -> None:
    image = Image(written(SMALL))
    chosen = np.arange(len(image.symbols)) == 2
    assert {s.name: rows.tolist() for s, rows in image.relocations(chosen)} == {".text": [(4, 2, 2, -4)], ".data": []}


def test_implicit_addends_are_computed_from_the_fields(written: Written) -> None:
    # S = 0x1010 is 'function'; a pc-relative field at P = 0x1004 that holds S + A - P with A = -4
    text = bytearray(64)
    text[4:8] = (0x1010 - 4 - 0x1004).to_bytes(4, "little", signed=True)
    text[8:16] = (0x1010 + 0x20).to_bytes(8, "little")
    text[16:20] = (0x1010 - 0x2000).to_bytes(4, "little", signed=True)
    relocations = {1: [Relocation(0x1004, 2, 2), Relocation(0x1008, 1, 2), Relocation(0x1010, 11, 2)]}
    sections = (dataclasses.replace(TEXT, content=bytes(text)), *SMALL.sections[1:])
    path = written(dataclasses.replace(SMALL, sections=sections, relocations=relocations, rela=False))
    ((_, rows),) = Image(path).relocations()
    assert rows["addend"].tolist() == [-4, 0x20, -0x2000]


@pytest.mark.parametrize("rela", [True, False])
def test_a_32_bit_big_endian_image_reads_the_same(
    written: Written, monkeypatch: pytest.MonkeyPatch, rela: bool
) -> None:
    monkeypatch.setitem(ARCHES, "big32", BIG_ENDIAN)
    text = bytes(4) + (0x1010 - 4 - 0x1004).to_bytes(4, "big", signed=True) + bytes(56)
    image = Image(
        written(
            dataclasses.replace(
                SMALL, sections=(dataclasses.replace(TEXT, content=text), *SMALL.sections[1:]),
                relocations={1: [Relocation(0x1004, 2, 2, -4)]}, bits=32, order=">", machine=0x1234, rela=rela,
            )
        )
    )  # fmt: skip
    assert image.arch is BIG_ENDIAN
    assert image.names == ["", ".text", "function", "object", "absolute"]
    assert image.symbols["value"].tolist() == [0, 0x1000, 0x1010, 0x2008, 77]
    assert [rows.tolist() for _, rows in image.relocations()] == [[(4, 2, 2, -4)]]


@pytest.mark.parametrize(
    ("bits", "order", "machine", "found"),
    [(32, "<", 62, "32-bit little-endian e_machine 62"), (64, ">", 62, "64-bit big-endian e_machine 62"),
     (32, ">", 8, "32-bit big-endian e_machine 8"), (64, "<", 183, "64-bit little-endian e_machine 183")],
)  # fmt: skip
def test_an_image_of_another_class_order_or_machine_is_refused(
    written: Written, bits: int, order: str, machine: int, found: str
) -> None:
    path = written(dataclasses.replace(SMALL, bits=bits, order=order, machine=machine, relocations={}))
    refused(path, f"expected one of .*x86_64.*, found {found}")


def test_none_relocations_may_lie_anywhere(written: Written) -> None:
    rows = (Relocation(0x99999, 0, 0), Relocation(0x1004, 2, 2, -4), Relocation(0, 0, 12345))
    ((_, found),) = Image(written(dataclasses.replace(SMALL, relocations={1: rows}))).relocations()
    assert found.tolist() == [(4, 2, 2, -4)]


@pytest.mark.parametrize("row", [Relocation(0x1040, 2, 2), Relocation(0xFFF, 2, 2), Relocation(0x1000, 2, 5)])
def test_a_relocation_outside_is_an_error(written: Written, row: Relocation) -> None:
    refused(written(dataclasses.replace(SMALL, relocations={1: (row,)})), r"\.rela\.text, entry 0: .* lies outside")


def test_the_entry_that_a_message_names_counts_as_readelf_does(written: Written) -> None:
    rows = (Relocation(0x1000, 0), Relocation(0x1004, 2, 2), Relocation(0x1040, 2, 2))
    refused(written(dataclasses.replace(SMALL, relocations={1: rows})), r"\.rela\.text, entry 2: ")


def test_relocations_of_a_section_that_does_not_exist_are_an_error(written: Written) -> None:
    rela = Section(".rela.gone", bytes(24), type=4, info=99, entsize=24)
    refused(written(dataclasses.replace(SMALL, sections=(*SMALL.sections, rela))), "found index 99")


def test_extended_section_indices_are_followed(written: Written) -> None:
    image = Image(written(dataclasses.replace(SMALL, extended=True)))
    assert image.symbols["section"].tolist()[:4] == [0, 1, 1, 2]
    assert image.name_of(1) == ".text"


def test_an_extended_section_index_that_does_not_exist_is_an_error(written: Written) -> None:
    symbols = (Symbol("far", 0x1000, section=500),)
    refused(written(dataclasses.replace(SMALL, symbols=symbols, relocations={}, extended=True)), "section below 8")


def test_a_section_index_that_does_not_exist_is_an_error(written: Written) -> None:
    symbols = (Symbol("far", 0x1000, section=500),)
    refused(written(dataclasses.replace(SMALL, symbols=symbols, relocations={})), "symbol 1: expected a section below")


def test_a_stripped_image_has_no_symbols(written: Written) -> None:
    image = Image(written(dataclasses.replace(SMALL, symbols=None)))
    assert (len(image.symbols), image.names, list(image.relocations())) == (0, [], [])


def test_an_object_file_keeps_its_offsets(written: Written) -> None:
    path = written(dataclasses.replace(SMALL, type=ET_REL, relocations={1: (Relocation(4, 2, 2, -4),)}))
    ((_, rows),) = Image(path).relocations()
    assert rows["offset"].tolist() == [4]


def test_names_that_are_not_utf_8_are_escaped(written: Written) -> None:
    symbols = (Symbol("a\udcffz", 0x1000), Symbol("naïve", 0x1000))
    assert Image(written(dataclasses.replace(SMALL, symbols=symbols, relocations={}))).names[1:] == ["a\\xffz", "naïve"]


def test_a_global_symbol_goes_before_a_local_one_of_its_name(written: Written) -> None:
    symbols = (Symbol("twice", 1, bind=LOCAL), Symbol("twice", 2), Symbol("none", 3, section=0))
    image = Image(written(dataclasses.replace(SMALL, symbols=symbols, relocations={})))
    assert (image.address_of("twice"), image.address_of("none")) == (2, None)


def test_an_empty_file_is_refused(written: Written) -> None:
    refused(written(b""), "found an empty file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "Is a directory")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none", "No such file")


def test_a_text_file_is_refused(written: Written) -> None:
    refused(written(b"#!/bin/sh\n"), "found the first bytes 23 21 2f 62")


def test_two_sections_of_one_name_are_an_error_for_who_wants_one(written: Written) -> None:
    image = Image(written(dataclasses.replace(SMALL, sections=(TEXT, DATA, DATA))))
    assert image.section(".text").index == 1
    with pytest.raises(BuildplugError, match=r"expected one section \.data, found 2"):
        image.section(".data")


def test_section_headers_of_no_bytes_are_refused(written: Written) -> None:
    # e_shnum 0: section 0 has the count (gABI, 4.1), and any count of headers of no bytes would fit
    content = bytearray(dataclasses.replace(SMALL, header={"shnum": 0, "shentsize": 0}).write())
    shoff = int.from_bytes(content[40:48], "little")
    content[shoff + 32 : shoff + 40] = (1 << 30).to_bytes(8, "little")
    refused(written(bytes(content)), "section headers|headers that do not parse")


def test_more_than_65279_sections_are_counted_by_the_first(written: Written) -> None:
    content = bytearray(dataclasses.replace(SMALL, header={"shnum": 0}).write())
    count = len(Image(written(SMALL)).sections)
    shoff = int.from_bytes(content[40:48], "little")
    content[shoff + 32 : shoff + 40] = count.to_bytes(8, "little")
    assert len(Image(written(bytes(content))).sections) == count


def test_size_in_memory_beyond_the_address_space_is_refused(written: Written) -> None:
    huge = Section(".bss", 0xFFFFFFFFFFFF7400, 0x10000, ALLOC | WRITE, NOBITS)
    with pytest.raises(BuildplugError, match="the end of the address space"):
        Image(written(dataclasses.replace(SMALL, sections=(TEXT, DATA, huge), relocations={})))


def test_address_is_found_in_the_first_of_sections_that_overlap(written: Written) -> None:
    tbss = Section(".tbss", 0x20, DATA.address, ALLOC | WRITE, NOBITS)
    image = Image(written(dataclasses.replace(SMALL, sections=(TEXT, tbss, DATA), relocations={})))
    assert [getattr(image.section_at(DATA.address + at), "name", None) for at in (0, 0x1F)] == [".tbss", ".tbss"]


def test_relocations_of_a_huge_section_without_content_read_or_are_refused(written: Written) -> None:
    huge = Section(".bss", 1 << 62, 0x3000, ALLOC | WRITE, NOBITS)
    file = dataclasses.replace(
        SMALL, sections=(TEXT, DATA, huge), relocations={3: (Relocation(0x3008, 1, 2),)}, rela=False
    )
    reads_or_is_refused(file.write(), written(b""))


PROGRAM = """
    .text
    .globl start
    .type start, @function
start:
    call *other@GOTPCREL(%rip)
    jmp *other@GOTPCREL(%rip)
    mov other@GOTPCREL(%rip), %rax
    lea table+8(%rip), %rax
    call near
    .size start, . - start
    .section .text.other, "ax"
    .globl other
    .type other, @function
other:
    ret
near:
    ret
    .data
table:
    .quad other, start, near, table + 8
    .long near - .
    .comm common, 24
"""


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_an_image_reads_as_readelf_reads_it(link: Link, ld: str) -> None:
    image = link(PROGRAM, ld=ld)

    said = [line.split() for line in tool("readelf", "-sW", image.path).splitlines() if re.match(r" +\d+: ", line)]
    types = {"NOTYPE": 0, "OBJECT": 1, "FUNC": 2, "SECTION": 3, "FILE": 4}
    special = {"UND": 0, "ABS": SHN_ABS}
    rows = [
        (int(w[1], 16), int(w[2], 0), types[w[3]], w[4] != "LOCAL", special[w[6]] if w[6] in special else int(w[6]),
         w[7] if len(w) > 7 else "")
        for w in said
    ]  # fmt: skip
    s = image.symbols
    mine = zip(*(s[f].tolist() for f in ("value", "size", "type", "bind", "section")), image.names, strict=True)
    assert rows == [(v, z, t, b != 0, i, n) for v, z, t, b, i, n in mine]

    relocations: dict[str, list[tuple[int, int, int]]] = {}
    for line in tool("readelf", "-rW", image.path).splitlines():
        if title := re.match(r"Relocation section '\.rela(.*)'", line):
            current = relocations.setdefault(title[1], [])
        elif re.match(r"[0-9a-f]{16} ", line):
            offset, info = line.split()[:2]
            sign, addend = line.split()[-2:]
            current.append((int(offset, 16), int(info, 16), int(addend, 16) * (-1 if sign == "-" else 1)))
    found = {
        section.name: [
            (section.address + o, int(y) << 32 | int(t), a)
            for o, t, y, a in zip(*(rows[f].tolist() for f in ("offset", "type", "symbol", "addend")), strict=True)
        ]
        for section, rows in image.relocations()
    }
    assert found == relocations
    assert sum(map(len, found.values())) >= 10


def test_relaxed_sites_are_in_the_image_that_readelf_is_asked_about(link: Link) -> None:
    text = link(PROGRAM).bytes_of(link(PROGRAM).section(".text")).tobytes()
    assert text.startswith(b"\x67\xe8")  # ff 15 became addr32 call


def test_words_outside_of_the_section_are_zero(link: Link) -> None:
    image = link(".data\n.long 0x80000001, 0\n.quad -2\n.byte 1, 2")
    data = image.section(".data")
    at = np.array([0, 16, 15, -1])
    assert image.words(data, at, 4).tolist() == [0x80000001, 0, 0, 0]
    assert image.words(data, at[:1] + 8, 8).tolist() == [2**64 - 2]
    assert image.words(data, np.array([16]), 2).tolist() == [0x0201]


BASES = (SMALL, dataclasses.replace(SMALL, rela=False), dataclasses.replace(SMALL, extended=True))
CONTENTS = tuple(file.write() for file in BASES)


def reads_or_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        read_all(Image(path))
    except BuildplugError as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elf") / "image"


def test_a_truncated_file_reads_or_is_refused(scratch: Path) -> None:
    for content in CONTENTS:
        for end in range(0, len(content), 3):
            reads_or_is_refused(content[:end], scratch)


@settings(max_examples=300)
@given(st.integers(0, 2**64 - 1))
def test_a_damaged_file_reads_or_is_refused(scratch: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        content = bytearray(rng.choice(CONTENTS))
        for _ in range(rng.randint(1, 4)):
            # most of a file is no header: aim at what steers the reader
            at = rng.choice((rng.randrange(64), rng.randrange(len(content)), rng.randrange(-700, 0)))
            content[at] = rng.choice((content[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 0xFF, 0x7F, 0x80))
        reads_or_is_refused(bytes(content), scratch)


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_read_or_are_refused(scratch: Path, content: bytes, magic: bool) -> None:
    reads_or_is_refused(b"\x7fELF\x02\x01\x01" * magic + content, scratch)


def test_an_image_can_be_read_at_any_base(link: Link) -> None:
    image = link(PROGRAM, base=LOW * 2)
    assert image.address_of("start") == LOW * 2
