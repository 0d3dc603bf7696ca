"""Files that the reader refuses, or reads with care."""

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from tests.conftest import Written
from tests.elfwriter import ALLOC, NOBITS, WRITE, Relocation, Section, Symbol
from tests.image.small import DATA, SMALL, TEXT, reads_or_is_refused, refused


@pytest.mark.parametrize("row", [Relocation(0x1040, 2, 2), Relocation(0xFFF, 2, 2), Relocation(0x1000, 2, 5)])
def test_a_relocation_outside_is_an_error(written: Written, row: Relocation) -> None:
    refused(written(dataclasses.replace(SMALL, relocations={1: (row,)})), r"\.rela\.text, entry 0: .* lies outside")


def test_removed_relocations_need_no_symbols(written: Written) -> None:
    rela = Section(".rela.text", bytes(24), type=4, info=1, entsize=24)  # R_X86_64_NONE
    image = Image(written(dataclasses.replace(SMALL, sections=(*SMALL.sections, rela), symbols=None, relocations={})))
    assert len(image.relocations()) == 0


def test_the_entry_that_a_message_names_counts_as_readelf_does(written: Written) -> None:
    rows = (Relocation(0x1000, 0), Relocation(0x1004, 2, 2), Relocation(0x1040, 2, 2))
    refused(written(dataclasses.replace(SMALL, relocations={1: rows})), r"\.rela\.text, entry 2: ")


def test_relocations_of_a_section_that_does_not_exist_are_an_error(written: Written) -> None:
    rela = Section(".rela.gone", bytes(24), type=4, info=99, entsize=24)
    refused(written(dataclasses.replace(SMALL, sections=(*SMALL.sections, rela))), "found index 99")


def test_an_extended_section_index_that_does_not_exist_is_an_error(written: Written) -> None:
    symbols = (Symbol("far", 0x1000, section=500),)
    refused(written(dataclasses.replace(SMALL, symbols=symbols, relocations={}, extended=True)), "section below 8")


def test_a_section_index_that_does_not_exist_is_an_error(written: Written) -> None:
    symbols = (Symbol("far", 0x1000, section=500),)
    refused(written(dataclasses.replace(SMALL, symbols=symbols, relocations={})), "symbol 1: expected a section below")


def test_a_name_outside_the_string_table_is_an_error_for_whoever_asks_for_some_symbols_alone(written: Written) -> None:
    path = written(SMALL)
    content, at = bytearray(path.read_bytes()), Image(path).value_at(3) - 8  # its st_name
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(BuildplugError, match="symbol 3: its name lies outside the string table"):
        Image(written(bytes(content))).narrow(["function"])


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


def test_size_in_memory_beyond_the_address_space_is_refused(written: Written) -> None:
    huge = Section(".bss", 0xFFFFFFFFFFFF7400, 0x10000, ALLOC | WRITE, NOBITS)
    with pytest.raises(BuildplugError, match="the end of the address space"):
        Image(written(dataclasses.replace(SMALL, sections=(TEXT, DATA, huge), relocations={})))


def test_relocations_of_a_huge_section_without_content_read_or_are_refused(written: Written) -> None:
    huge = Section(".bss", 1 << 62, 0x3000, ALLOC | WRITE, NOBITS)
    file = dataclasses.replace(
        SMALL, sections=(TEXT, DATA, huge), relocations={3: (Relocation(0x3008, 1, 2),)}, rela=False
    )
    reads_or_is_refused(file.write(), written(b""))


BASES = (SMALL, dataclasses.replace(SMALL, rela=False), dataclasses.replace(SMALL, extended=True))
CONTENTS = tuple(file.write() for file in BASES)


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
