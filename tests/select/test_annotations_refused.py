"""Annotations that are wrong: each is one line, whatever the bytes."""

import random
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule, find
from buildplug.image.elf import Image
from buildplug.select.annotations import LONGEST
from buildplug.select.rows import columns_of
from buildplug.tables.fields import rows_of
from tests.conftest import Link, tool
from tests.select.records import CODE, absolute, rows, rule


@pytest.mark.parametrize(
    ("record", "more", "said"),
    [
        ("", "", "expected a section .rec, found none; correct the rule, or say optional = true"),
        (".byte 1", "", ".rec: expected records of 16 bytes, found 1"),
        (
            ".quad f, 0x123456",
            "",
            "record 0, member s: expected the address of a string, found 0x123456, in no section",
        ),
        (".quad f, .Ls", '.ascii "endless"', f"expected a zero within {LONGEST} bytes and .data, found none"),
        (".quad f, .Ls", f".skip {LONGEST + 1}, 65; .byte 0", "bytes and .data, found none"),
        (".quad f, .Ls", ".byte 255, 0", "member s: expected UTF-8, found b'"),
        (".quad f + 50, .Ls", ".byte 0", "record 0, member a: expected a symbol at the address, found none at 0x1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(link: Link, record: str, more: str, said: str) -> None:
    image = link(f"{CODE} {'.section .rec;' * bool(record)} {record}; .data; .Ls: {more}")
    wrong(image, rule(absolute("a"), absolute("s", "string"), fields=("a.symbol", "s")), said)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (("end", "start"), "ranges: expected end–start inside a section"),
        (("start", "0xffffffff"), "ranges: expected start–0xffffffff inside a section"),
        (("start", "none"), "expected a symbol or an integer, found 'none'"),
    ],
)
def test_range_outside_a_section_is_said_in_one_line(link: Link, bounds: tuple[str, str], said: str) -> None:
    image = link(f"{CODE} .data; start: .quad 0; end: .quad 0")
    wrong(image, rule(absolute("a"), sections=(), ranges=(bounds,)), said)


def test_section_without_content_holds_no_records(link: Link) -> None:
    image = link(f'{CODE} .section .rec, "aw", @nobits; .skip 16')
    wrong(image, rule(absolute("a")), ".rec: expected records, found a section without content")


def wrong(image: Image, wanted: Rule, said: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        columns_of(image, wanted)
    assert said in str(caught.value)
    assert "rule test" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_image_without_symbols_is_an_error(link: Link, tmp_path: Path) -> None:
    image = link(f"{CODE} .section .rec; .quad 1")
    tool("strip", "--strip-all", image.path, "-o", tmp_path / "stripped")
    with pytest.raises(BuildplugError, match="rule test: expected symbols, found none"):
        columns_of(Image(tmp_path / "stripped"), rule(absolute("a")))


def test_address_in_no_section_is_an_error_of_the_table(link: Link) -> None:
    image = link(f"{CODE} .globl bp_test; bp_test: nop; .section .rec; .quad 0x99999999")
    with pytest.raises(BuildplugError, match="rule test: a 0x99999999 lies in no section"):
        rows_of(image, rule(absolute("a")))


def test_no_bytes_of_records_are_more_than_an_error(link: Link, tmp_path: Path) -> None:
    image = link(f'{CODE} .section .rec; .quad f, .Ls, g, .Ls, alias, .Ls; .data; .Ls: .asciz "text"')
    wanted = rule(absolute("a"), absolute("s", "string"), fields=("a.symbol", "s"))
    section, chance, outcomes = image.section(".rec"), random.Random(3), set()
    for _ in range(300):
        data = bytearray(image.path.read_bytes())
        for _ in range(chance.randrange(1, 3)):
            data[section.offset + chance.randrange(section.size)] ^= 1 << chance.randrange(8)
        (tmp_path / "spoilt").write_bytes(data)
        try:
            outcomes.add(len(rows(Image(tmp_path / "spoilt"), wanted)))
        except BuildplugError as error:
            assert "\n" not in str(error)
            outcomes.add(-1)
    assert outcomes == {-1, 3}


def test_symbol_that_is_exported_twice_is_an_error(link: Link, tmp_path: Path) -> None:
    image = link(
        f'{CODE} .section .bp_records.exports; .quad g, .Ls, f, .Ls, g, .Ls; .section .strings; .Ls: .asciz ""'
    )
    with pytest.raises(
        BuildplugError, match=r"rule exports: expected each export.symbol once, found g twice; drop one"
    ):
        columns_of(image, find("exports", tmp_path))
