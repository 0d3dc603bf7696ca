"""Damaged and forged tables of ksyms, and symbols that no table holds."""

import random
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.image.names import Names
from buildplug.tables import ksyms_format
from buildplug.tables.ksyms_codec import decode, encode, inspect
from buildplug.tables.ksyms_format import ROW, collect
from tests.ksyms_host import Host, answer
from tests.tables.ksyms_tables import a_table, many, questions, sections_of, seeds


def flipped(data: bytes, chance: random.Random) -> bytes:
    """The table with one to three of its bits changed."""
    changed = bytearray(data)
    for bit in chance.sample(range(len(data) * 8), chance.randint(1, 3)):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def forged(data: bytes, chance: random.Random, arch: Arch = X86_64) -> bytes:
    """The table with some bytes changed, in the header too, and checksums that fit."""
    changed = bytearray(data)
    head = ksyms_format.dtype("ksyms", arch.byteorder).itemsize
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(24, head) if chance.random() < 0.1 else chance.randrange(head, len(data))
        changed[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    return signed(changed, arch)


def signed(changed: bytearray, arch: Arch = X86_64) -> bytes:
    """The table with checksums that fit."""
    order = arch.byteorder
    head = ksyms_format.dtype("ksyms", order).itemsize
    row = np.frombuffer(bytes(changed), ksyms_format.dtype("ksyms", order), 1)[0]
    body = bytes(changed[head : ksyms_format.layout(arch, row)["bases"]])
    changed[16:24] = struct.pack(f"{order}Q", ksyms_format.checksum(body + bytes(-len(body) % 4), order))
    changed[8:16] = struct.pack(f"{order}Q", ksyms_format.checksum(bytes(changed[16:head]), order))
    return bytes(changed)


@settings(max_examples=60)
@given(seed=seeds)
def test_c_stays_inside_a_table_with_bits_flipped(host: Host, seed: int) -> None:
    table, chance = a_table(seed), random.Random(seed)
    data = flipped(encode(table), chance)
    at, error = host.check(data)
    asked = questions(table, at, seed)
    assert len(host.ask(asked)) == len(asked)
    assert error == inspect(data, X86_64)


@settings(max_examples=150)
@given(seed=seeds)
def test_c_stays_inside_a_forged_table(host: Host, seed: int) -> None:
    table, chance = a_table(seed), random.Random(seed)
    data = forged(encode(table), chance)
    at, error = host.check(data)
    asked = questions(table, at, seed) if error == "ok" else []
    assert len(host.ask(asked)) == len(asked)
    assert error == inspect(data, X86_64)


@settings(max_examples=150)
@given(seed=seeds)
def test_a_forged_table_decodes_or_is_refused(seed: int) -> None:
    data = forged(encode(a_table(seed)), random.Random(seed))
    try:
        decode(data, X86_64, "vmlinux")
    except BuildplugError as error:
        assert str(error).startswith("vmlinux: expected a table of symbols, found ")


@settings(max_examples=150)
@given(seed=seeds)
def test_c_reads_a_forged_table_that_decodes_as_python_does(host: Host, seed: int) -> None:
    data = forged(encode(a_table(seed)), random.Random(seed))
    try:
        table = decode(data, X86_64, "vmlinux")
    except BuildplugError:
        return
    at, error = host.check(data)
    assert error == "ok"
    asked = questions(table, at, seed)
    assert host.ask(asked) == [answer(table, at, question) for question in asked]


@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("text", 0, 0),  # a zero in a token of one byte that ends no name
        ("text", -1, 1),  # no zero at the end of the last token
        ("text", -2, 0),  # a zero before it
        ("starts", 2, 1),  # the code of literals has a token
        ("starts", 4, 0xFF),  # a token before the last one
        ("starts", 2 * ksyms_format.TOKENS + 1, 0xFF),  # a token outside the text
    ],
)
def test_tokens_that_would_end_names_elsewhere_are_refused(host: Host, part: str, place: int, value: int) -> None:
    data = bytearray(encode(many(1000)))
    row = np.frombuffer(bytes(data), ksyms_format.dtype("ksyms", "<"), 1)[0]
    parts = ksyms_format.layout(X86_64, row)
    data[parts[part] + place + int(row["text"]) * (place < 0)] = value
    forgery = signed(data)
    _, error = host.check(forgery)
    host.ask([])
    assert error == inspect(forgery, X86_64) == "bad_tokens"


@settings(max_examples=60)
@given(seed=seeds)
def test_a_table_that_is_cut_off_is_refused(host: Host, seed: int) -> None:
    data = encode(a_table(seed))
    data = data[: random.Random(seed).randrange(len(data))]
    _, error = host.check(data)
    host.ask([])
    assert error == inspect(data, X86_64) in ("bad_place", "bad_size")


def test_a_table_of_another_machine_is_refused(host: Host) -> None:
    data = encode(replace(a_table(1), arch=replace(X86_64, machine=3)))
    _, error = host.check(data)
    host.ask([])
    assert error == inspect(data, X86_64) == "bad_version"


def test_a_table_of_the_first_version_is_refused(host: Host) -> None:
    data = bytearray(encode(many(10)))
    struct.pack_into("<H", data, 4, 1)
    _, error = host.check(signed(data))
    host.ask([])
    assert error == inspect(bytes(data), X86_64) == "bad_version"
    with pytest.raises(BuildplugError, match=r"^vmlinux: expected a table of symbols, found bad_version \(.*\); build"):
        decode(bytes(data), X86_64, "vmlinux")


def test_more_second_names_than_symbols_are_refused(host: Host) -> None:
    table = a_table(1)
    data = bytearray(encode(table))
    row = np.frombuffer(data, ksyms_format.dtype("ksyms", "<"), 1)
    row["raw"] = len(table.rows) + 1
    _, error = host.check(signed(data))
    host.ask([])
    assert error == inspect(signed(data), X86_64) == "bad_size"


def test_the_error_of_a_bad_table_names_file_and_remedy() -> None:
    with pytest.raises(
        BuildplugError, match=r"^vmlinux: expected a table of symbols, found bad_magic \(.*\); build the"
    ):
        decode(bytes(200), X86_64, "vmlinux")


@pytest.mark.parametrize(
    ("row", "name", "message"),
    [
        ((1, 0, 0, 0x74), b"f", r"symbol f: expected a section below 1, found section 0x1, .*; exclude it in the rule"),
        (
            (0, 1 << 32, 0, 0x74),
            b"f",
            r"symbol f: expected an offset below 4 GiB in its section, .* offset 0x100000000",
        ),
        ((0, 2**64 - 8, 0, 0x74), b"f", r"symbol f: expected an offset below 4 GiB in its section, found"),
        ((0, 0, 1 << 32, 0x74), b"f", r"symbol f: expected a size below 4 GiB, found"),
        ((0, 0, 0, 0x20), b"f", r"symbol f: expected a letter as its type, found .* type 0x20; see nm's manual"),
        ((0, 0, 0, 0x74), b"x" * 4096, r"symbol x{80}: expected a name of at most 4095 bytes, found"),
    ],
)
def test_a_symbol_that_does_not_fit_is_named(row: tuple[int, ...], name: bytes, message: str) -> None:
    with pytest.raises(BuildplugError, match=f"^rule ksyms: {message}"):
        collect(X86_64, *sections_of([(".text", 16, 0, 0)]), np.array([row], ROW), Names.of([name]), "rule ksyms")


def test_a_section_of_4_gib_is_named() -> None:
    with pytest.raises(
        BuildplugError, match=r"^rule ksyms: section \.big: expected less than 4 GiB, found 0x100000000"
    ):
        collect(X86_64, *sections_of([(".big", 1 << 32, 0, 0)]), np.zeros(0, ROW), Names.of([]), "rule ksyms")
