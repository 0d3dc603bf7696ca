"""The reader, against what was written."""

import dataclasses
from random import Random

import numpy as np
import pytest

from buildplug.arch import x86
from buildplug.arch.registry import ARCHES
from buildplug.image import elf
from buildplug.image.elf import Image
from buildplug.image.headers import SHN_ABS
from tests.conftest import Link, Written
from tests.elfwriter import ALLOC, ET_REL, FUNC, LOCAL, NOBITS, OBJECT, SECTION, WRITE, Relocation, Section, Symbol
from tests.image.small import DATA, SMALL, TEXT

BIG_ENDIAN = dataclasses.replace(x86.X86_64, name="big32", machine=0x1234, bits=32, byteorder=">")


def test_sections_are_what_was_written(written: Written) -> None:
    image = Image(written(SMALL))
    assert [s.name for s in image.sections[:4]] == ["", ".text", ".data", ".bss"]
    text, _, bss = image.sections[1:4]
    assert (text.address, text.size, text.alloc, text.executable) == (0x1000, 64, True, True)
    assert image.bytes_of(text).tobytes() == TEXT.content
    assert (bss.size, bss.executable, image.bytes_of(bss).tobytes()) == (0x100, False, b"")


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
    assert Image(written(SMALL)).relocations().tolist() == [(1, 4, 2, 2, -4), (1, 8, 4, 3, 12), (2, 0, 1, 1, 0x30)]


def test_relocations_of_sections_that_are_not_loaded_are_left_out(written: Written) -> None:
    debug = Section(".debug", bytes(16))
    path = written(dataclasses.replace(SMALL, sections=(TEXT, debug), relocations={2: (Relocation(8, 1, 1),)}))
    assert not len(Image(path).relocations())
    assert not Image(path).has_relocations


def test_relocations_against_chosen_symbols_are_those_of_them_all(written: Written) -> None:
    image = Image(written(SMALL))
    chosen = np.arange(len(image.symbols)) == 2
    assert image.relocations(chosen).tolist() == [(1, 4, 2, 2, -4)]


def test_relocations_of_chosen_sections_are_those_of_them_all(written: Written) -> None:
    image = Image(written(SMALL))
    assert image.relocations(of=np.arange(len(image.sections)) == 2).tolist() == [(2, 0, 1, 1, 0x30)]


def test_implicit_addends_are_computed_from_the_fields(written: Written) -> None:
    # S = 0x1010 is 'function'; a pc-relative field at P = 0x1004 that holds S + A - P with A = -4
    text = bytearray(64)
    text[4:8] = (0x1010 - 4 - 0x1004).to_bytes(4, "little", signed=True)
    text[8:16] = (0x1010 + 0x20).to_bytes(8, "little")
    text[16:20] = (0x1010 - 0x2000).to_bytes(4, "little", signed=True)
    relocations = {1: [Relocation(0x1004, 2, 2), Relocation(0x1008, 1, 2), Relocation(0x1010, 11, 2)]}
    sections = (dataclasses.replace(TEXT, content=bytes(text)), *SMALL.sections[1:])
    path = written(dataclasses.replace(SMALL, sections=sections, relocations=relocations, rela=False))
    rows = Image(path).relocations()
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
    assert image.relocations().tolist() == [(1, 4, 2, 2, -4)]


def test_none_relocations_may_lie_anywhere(written: Written) -> None:
    rows = (Relocation(0x99999, 0, 0), Relocation(0x1004, 2, 2, -4), Relocation(0, 0, 12345))
    found = Image(written(dataclasses.replace(SMALL, relocations={1: rows}))).relocations()
    assert found.tolist() == [(1, 4, 2, 2, -4)]


def test_extended_section_indices_are_followed(written: Written) -> None:
    image = Image(written(dataclasses.replace(SMALL, extended=True)))
    assert image.symbols["section"].tolist()[:4] == [0, 1, 1, 2]
    assert image.name_of(1) == ".text"


@pytest.mark.parametrize("extended", [False, True])
def test_a_narrowed_image_has_the_symbols_with_a_prefix_alone(written: Written, *, extended: bool) -> None:
    path = written(dataclasses.replace(SMALL, extended=extended))
    every, few = Image(path), Image(path)
    few.narrow(["ob", "function", "none"])
    assert few.names == ["function", "object"]
    assert [*few.symbols] == [*every.symbols][2:4]
    assert (few.address_of("object"), few.address_of("absolute")) == (0x2008, None)


def test_a_stripped_image_has_no_symbols(written: Written) -> None:
    image = Image(written(dataclasses.replace(SMALL, symbols=None)))
    assert (len(image.symbols), image.names, len(image.relocations())) == (0, [], 0)
    image.narrow([""])
    assert image.names == []


def test_an_object_file_keeps_its_offsets(written: Written) -> None:
    path = written(dataclasses.replace(SMALL, type=ET_REL, relocations={1: (Relocation(4, 2, 2, -4),)}))
    rows = Image(path).relocations()
    assert rows["offset"].tolist() == [4]


def test_names_that_are_not_utf_8_are_escaped(written: Written) -> None:
    symbols = (Symbol("a\udcffz", 0x1000), Symbol("naïve", 0x1000))
    assert Image(written(dataclasses.replace(SMALL, symbols=symbols, relocations={}))).names[1:] == ["a\\xffz", "naïve"]


def test_a_global_symbol_goes_before_a_local_one_of_its_name(written: Written) -> None:
    symbols = (Symbol("twice", 1, bind=LOCAL), Symbol("twice", 2), Symbol("none", 3, section=0))
    image = Image(written(dataclasses.replace(SMALL, symbols=symbols, relocations={})))
    assert (image.address_of("twice"), image.address_of("none")) == (2, None)


def test_more_than_65279_sections_are_counted_by_the_first(written: Written) -> None:
    content = bytearray(dataclasses.replace(SMALL, header={"shnum": 0}).write())
    count = len(Image(written(SMALL)).sections)
    shoff = int.from_bytes(content[40:48], "little")
    content[shoff + 32 : shoff + 40] = count.to_bytes(8, "little")
    assert len(Image(written(bytes(content))).sections) == count


def test_address_is_found_in_the_first_of_sections_that_overlap(written: Written) -> None:
    tbss = Section(".tbss", 0x20, DATA.address, ALLOC | WRITE, NOBITS)
    image = Image(written(dataclasses.replace(SMALL, sections=(TEXT, tbss, DATA), relocations={})))
    assert [getattr(image.section_at(DATA.address + at), "name", None) for at in (0, 0x1F)] == [".tbss", ".tbss"]


def test_address_is_found_in_the_last_section_that_starts_before_it(written: Written) -> None:
    """As where pahole has made .BTF larger than the room that the linker gave it."""
    grown = Section(".BTF", 0x2000, TEXT.address + 8, ALLOC, NOBITS)
    image = Image(written(dataclasses.replace(SMALL, sections=(TEXT, grown, DATA), relocations={})))
    asked = (TEXT.address, TEXT.address + 8, DATA.address - 1, DATA.address, grown.address + 0x1FFF)
    assert [getattr(image.section_at(at), "name", None) for at in asked] == [".text", ".BTF", ".BTF", ".data", ".BTF"]


def test_addresses_are_found_as_by_looking_at_all_sections(written: Written) -> None:
    for seed in range(50):
        chance = Random(seed)
        extents = [(chance.randrange(40), chance.randrange(20)) for _ in range(6)]
        made = tuple(Section(f".s{i}", size, start, ALLOC, NOBITS) for i, (start, size) in enumerate(extents))
        image = Image(written(dataclasses.replace(SMALL, sections=made, symbols=(), relocations={})))
        for address in range(64):
            holding = [(start, -i) for i, (start, size) in enumerate(extents) if start <= address < start + size]
            found = image.section_at(address)
            assert (found and found.name) == (f".s{-max(holding)[1]}" if holding else None)


@pytest.mark.parametrize("piece", [1, 3, 1 << 15])  # relocations that are read together
def test_a_section_may_be_read_without_its_start(link: Link, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    image = link(".globl a\na: .quad a + 1, a + 2\n.data\n.quad a + 3, a + 4, a + 5\n.section .rodata\n.quad a + 6")
    monkeypatch.setattr(elf, "PIECE", piece)
    data = image.section(".data")
    rest = image.without_start(data, 8)
    assert rest.section(".data") == dataclasses.replace(
        data, address=data.address + 8, offset=data.offset + 8, size=data.size - 8
    )
    assert image.section(".data") == data
    home = rest.sections.names.__getitem__
    found = {(home(row["section"]), row["offset"].item(), row["addend"].item()) for row in rest.relocations()}
    assert found == {(".text", 0, 1), (".text", 8, 2), (".data", 0, 4), (".data", 8, 5), (".rodata", 0, 6)}


def test_words_outside_of_the_section_are_zero(link: Link) -> None:
    image = link(".data\n.long 0x80000001, 0\n.quad -2\n.byte 1, 2")
    data = image.section(".data").index
    at = np.array([0, 16, 15, -1])
    assert image.words(data, at, 4).tolist() == [0x80000001, 0, 0, 0]
    assert image.words(data, at[:1] + 8, 8).tolist() == [2**64 - 2]
    assert image.words(data, np.array([16]), 2).tolist() == [0x0201]
