"""The reader, against readelf."""

import re

import pytest

from buildplug.image.headers import SHN_ABS
from tests.conftest import LOW, Link, tool

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
    rows = image.relocations().tolist()
    found = {
        image.sections[section].name: [
            (image.sections[section].address + o, y << 32 | t, a) for s, o, t, y, a in rows if s == section
        ]
        for section in sorted({row[0] for row in rows})
    }
    assert found == relocations
    assert sum(map(len, found.values())) >= 10


def test_relaxed_sites_are_in_the_image_that_readelf_is_asked_about(link: Link) -> None:
    text = link(PROGRAM).bytes_of(link(PROGRAM).section(".text")).tobytes()
    assert text.startswith(b"\x67\xe8")  # ff 15 became addr32 call


def test_an_image_can_be_read_at_any_base(link: Link) -> None:
    image = link(PROGRAM, base=LOW * 2)
    assert image.address_of("start") == LOW * 2
