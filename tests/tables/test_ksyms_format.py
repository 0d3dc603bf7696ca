"""The table of symbols: round trips, C against Python for every lookup, and C on corrupt tables under sanitizers."""

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables import ksyms_format
from buildplug.tables.ksyms_codec import decode, encode, inspect
from buildplug.tables.ksyms_format import ABSOLUTE, LONGEST, NAMES, ROW, Ksyms, collect
from tests.conftest import tool
from tests.ksyms_host import Host, Question, answer, write

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-mgeneral-regs-only")
ROOMS = (0, 1, 2, 20, 4096)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ksyms"))


@pytest.fixture(scope="module")
def host(source: Path) -> Iterator[Host]:
    with Host(source) as running:
        yield running


def a_name(chance: random.Random, before: list[bytes]) -> bytes:
    """Hostile: any byte but zero, empty, long, a name that is there already, or one that starts as it does."""
    letters = chance.choice((b"ab_", bytes(range(1, 256)), b"\xff\x80\x01", b"_sys.0123"))
    length = chance.choice(
        (0, 1, 2, 5, 12, 30, 254, 255, 256, 511, 600, LONGEST) if chance.random() < 0.1 else (3, 9, 15)
    )
    fresh = bytes(chance.choices(letters, k=length))
    known = chance.choice(before) if before else b""
    return chance.choice((fresh, fresh, known, (known[: chance.randrange(len(known) + 1)] + fresh)[:LONGEST]))


def a_table(seed: int, *, by_name: bool = True) -> Ksyms:
    """A table of random symbols, from none to hundreds."""
    chance = random.Random(seed)
    count = chance.choice((0, 1, 2, NAMES, NAMES + 1, 40, 300))
    sections = []
    for i in range(chance.randint(1, 5)):
        size = chance.choice((0, 1, 0x1000, 0xFFFFFFFF))
        base = (i << 33) + chance.randrange(1 << 20) - (1 << 34)  # apart from one another
        absolute = chance.random() < 0.2
        sections.append((f".s{i}", size, ABSOLUTE * absolute, base + (1 << 40) * absolute))
    names: list[bytes] = []
    rows = np.zeros(count, ROW)
    letters = chance.choice((b"tTdD", bytes(range(0x21, 0x7F))))
    for i in range(count):
        names.append(a_name(chance, names))
        size = sections[section := chance.randrange(len(sections))][1]
        offset = chance.choice((0, size, max(size - 1, 0), chance.randint(0, size), 0xFFFFFFFF))
        extent = chance.choice((0, 1, 16, chance.randrange(1 << 14), 0xFFFFFFFF))
        if i and chance.random() < 0.2:
            section, offset = int(rows["section"][i - 1]), int(rows["offset"][i - 1])
        rows[i] = (section, offset, extent, chance.choice(letters))
    return collect(X86_64, sections, rows, names, "test", by_name=by_name)


def same(a: Ksyms, b: Ksyms) -> bool:
    """Whether two tables are equal, but for the names of sections."""
    fields = ("sections", "bases", "rows", "ranks")
    arrays = all(np.array_equal(getattr(a, field), getattr(b, field)) for field in fields)
    return arrays and (a.names, a.by_name) == (b.names, b.by_name)


def questions(table: Ksyms, at: int, seed: int) -> list[Question]:
    """Questions about all that a table has, and some that it has not."""
    chance = random.Random(seed)
    asked: list[Question] = [("g", index, chance.choice(ROOMS)) for index in range(len(table.rows) + 2)]
    asked += [("l", name, 0) for name in {*table.names, b"", b"nothing", b"\xff" * 300}]
    places = [
        runtime_ksyms.symbol(table, at, index).address + step
        for index in range(len(table.rows))
        for step in (-1, 0, 1, 7)
    ]
    ends = [int(base) + at + int(size) for base, size in zip(table.bases, table.sections["size"], strict=True)]
    for address in chance.sample(places, min(len(places), 200)) + ends + [0, 1, 2**64 - 1, at]:
        asked += [(kind, address % 2**64, chance.choice(ROOMS)) for kind in "fpr"]
    return asked


def compare(host: Host, table: Ksyms, seed: int = 0) -> None:
    """C and Python give the same answers."""
    at, error = host.check(encode(table))
    assert error == "ok"
    asked = questions(table, at, seed)
    for question, found in zip(asked, host.ask(asked), strict=True):
        assert found == answer(table, at, question), question


seeds = st.integers(0, 2**64 - 1)


@given(seed=seeds, by_name=st.booleans())
def test_decoding_gives_back_what_was_encoded(seed: int, by_name: bool) -> None:
    table = a_table(seed, by_name=by_name)
    assert same(decode(encode(table), X86_64, "test"), table)


@given(seed=seeds)
def test_the_other_byte_order_decodes_too(seed: int) -> None:
    other = replace(X86_64, byteorder=">")
    table = a_table(seed)
    sections = table.sections.astype(ksyms_format.dtype("ksyms_section", ">"))
    table = replace(table, arch=other, sections=sections, bases=table.bases.astype(">i8"))
    assert same(decode(encode(table), other, "test"), table)


@given(seed=seeds)
def test_the_order_of_the_input_does_not_matter(seed: int) -> None:
    table = a_table(seed)
    order = np.array(random.Random(seed).sample(range(len(table.rows)), len(table.rows)), "i8")
    sizes, flags = table.sections["size"].tolist(), table.sections["flags"].tolist()
    sections = list(zip(table.section_names, sizes, flags, table.bases.tolist(), strict=True))
    names = [table.names[i] for i in order.tolist()]
    assert encode(collect(X86_64, sections, table.rows[order], names, "test")) == encode(table)


def test_a_table_of_no_section_decodes(host: Host) -> None:
    table = collect(X86_64, [], np.zeros(0, ROW), [], "test")
    compare(host, table)
    assert same(decode(encode(table), X86_64, "test"), table)


@settings(max_examples=60)
@given(seed=seeds, by_name=st.booleans())
def test_c_answers_as_python_does(host: Host, seed: int, by_name: bool) -> None:
    compare(host, a_table(seed, by_name=by_name), seed)


def many(count: int) -> Ksyms:
    chance = random.Random(count)
    words = ["".join(chance.choices("abcdefghiklmnoprstuvw", k=chance.randint(2, 7))) for _ in range(900)]
    names = ["_".join(chance.choices(words, k=chance.randint(1, 4))).encode() for _ in range(count)]
    rows = np.zeros(count, ROW)
    rows["offset"], rows["size"], rows["type"] = np.arange(count) * 64, np.arange(count) % 65, ord("t")
    return collect(X86_64, [(".text", count * 64, 0, -(1 << 30))], rows, names, "test")


def test_200000_symbols_decode_as_they_were() -> None:
    table = many(200_000)
    assert same(decode(encode(table), X86_64, "test"), table)


def test_c_finds_its_way_among_200000_symbols(host: Host) -> None:
    table = many(200_000)
    at, error = host.check(encode(table))
    chance = random.Random(1)
    asked: list[Question] = [("p", at - (1 << 30) + chance.randrange(200_000 * 64), 600) for _ in range(300)]
    asked += [("l", table.names[chance.randrange(200_000)], 0) for _ in range(300)]
    assert error == "ok"
    assert host.ask(asked) == [answer(table, at, question) for question in asked]


def test_a_name_of_many_symbols_is_found_for_each(host: Host) -> None:
    rows = np.zeros(100, ROW)
    rows["offset"], rows["type"] = np.arange(100), ord("t")
    names = [b"a", *[b"same" * 100] * 98, b"z"]
    compare(host, collect(X86_64, [(".text", 100, 0, 64)], rows, names, "test"))


def test_of_several_symbols_at_one_address_the_largest_is_found() -> None:
    rows = np.array([(0, 0, 8, ord("t")), (0, 0, 0, ord("T")), (0, 0, 8, ord("t"))], ROW)
    table = collect(X86_64, [(".text", 16, 0, 0)], rows, [b"_alias", b"start", b"alias"], "test")
    assert runtime_ksyms.format_address(table, 0x1000, 0x1004) == b"alias+0x4/0x8"


def test_without_the_order_a_table_is_smaller() -> None:
    table = many(1000)
    saved = len(encode(table)) - len(encode(replace(table, by_name=False)))
    assert abs(saved - (1000 * 10 // 8 + 4)) < 8


def test_names_that_share_nothing_stay_near_their_length() -> None:
    chance = random.Random(1)
    names = [bytes(chance.choices(range(1, 256), k=40)) for _ in range(1000)]
    rows = np.zeros(1000, ROW)
    rows["type"] = ord("t")
    assert len(encode(collect(X86_64, [(".text", 16, 0, 0)], rows, names, "test"))) < 1000 * (40 * 2 + 8)


def flipped(data: bytes, chance: random.Random) -> bytes:
    """The table with one to three of its bits changed."""
    changed = bytearray(data)
    for bit in chance.sample(range(len(data) * 8), chance.randint(1, 3)):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def forged(data: bytes, chance: random.Random) -> bytes:
    """The table with some bytes changed, in the header too, and checksums that fit."""
    changed = bytearray(data)
    head = ksyms_format.dtype("ksyms", "<").itemsize
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(24, head) if chance.random() < 0.1 else chance.randrange(head, len(data))
        changed[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    row = np.frombuffer(bytes(changed), ksyms_format.dtype("ksyms", "<"), 1)[0]
    body = bytes(changed[head : ksyms_format.layout(X86_64, row)["bases"]])
    changed[16:24] = struct.pack("<Q", ksyms_format.checksum(body + bytes(-len(body) % 4), "<"))
    changed[8:16] = struct.pack("<Q", ksyms_format.checksum(bytes(changed[16:head]), "<"))
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
        ((0, 0, 0, 0x74), b"a\0b", r"symbol a\\x00b: expected a name without zero bytes, found"),
        ((0, 0, 0, 0x74), b"x" * 4096, r"symbol x{80}: expected a name of at most 4095 bytes, found"),
    ],
)
def test_a_symbol_that_does_not_fit_is_named(row: tuple[int, ...], name: bytes, message: str) -> None:
    with pytest.raises(BuildplugError, match=f"^rule ksyms: {message}"):
        collect(X86_64, [(".text", 16, 0, 0)], np.array([row], ROW), [name], "rule ksyms")


def test_a_section_of_4_gib_is_named() -> None:
    with pytest.raises(
        BuildplugError, match=r"^rule ksyms: section \.big: expected less than 4 GiB, found 0x100000000"
    ):
        collect(X86_64, [(".big", 1 << 32, 0, 0)], np.zeros(0, ROW), [], "rule ksyms")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-O2",), ("-Os", "-m32", "-fno-pic"), ("-O3", "-fpie")])
def test_the_c_compiles_without_warnings_and_needs_nothing(source: Path, compiler: str, flags: tuple[str, ...]) -> None:
    made = source / f"{compiler}{'-'.join(flags)}.o"
    tool(compiler, *FLAGS, *flags, "-c", source / "ksyms.c", "-o", made)
    symbols = [line.split()[-2:] for line in tool("nm", made).splitlines()]
    assert [name for kind, name in symbols if kind not in "tT" and name != "_GLOBAL_OFFSET_TABLE_"] == []
