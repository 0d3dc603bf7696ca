"""The binary format: encode and decode, the C header, and what the assembler and the linker make of a table."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.linker import fragment
from buildplug.linker.script import Placed, Placement
from buildplug.stage import render
from buildplug.tables import saved
from buildplug.tables.sites_format import (
    ERRORS,
    NONE,
    RECORDS,
    Table,
    decode,
    dtype,
    empty,
    head,
    inspect,
    sizes,
)
from tests.conftest import tool

seeds = st.integers(0, 2**64 - 1)
BIG = dataclasses.replace(X86_64, byteorder=">")


def from_seed(rng: random.Random, order: str = "<", names: tuple[str, ...] = ()) -> Table:
    """A table of random rows: true of nothing, but well-formed."""
    sections, ops, sites = len(names) or rng.randrange(6), rng.randrange(8), rng.randrange(30)

    def rows(record: str, count: int) -> np.ndarray:
        made = np.zeros(count, dtype(record, order))
        for field in made.dtype.names or ():
            width = 8 * made.dtype[field].itemsize
            made[field] = [rng.choice((0, 1, 2**width - 1, rng.getrandbits(width))) for _ in range(count)]
        return made

    table = Table(
        X86_64 if order == "<" else BIG,
        rows("section", sections), rows("op", ops), rows("site", sites if sections else 0),
        np.array([rng.getrandbits(64) - 2**63 for _ in range(sections)], order + "i8"),
        names or tuple(f".s{i}" for i in range(sections)), tuple(f"op_{i}" for i in range(ops)),
    )  # fmt: skip
    rest = len(table.sites)
    for row in table.sections[:-1]:
        row["sites"] = rng.randint(0, rest)
        rest -= int(row["sites"])
    table.sections["sites"][-1:] = rest
    table.sites["info"] = [rng.randrange(len(X86_64.forms)) << OP_BITS | rng.randrange(ops or 1) for _ in table.sites]
    return table


def same(one: Table, other: Table) -> bool:
    """Whether two tables say the same, names apart."""
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("sections", "ops", "sites", "bases")
    )
    return arrays and one.arch == other.arch


@given(seeds, st.sampled_from([X86_64, BIG]), st.binary(max_size=20))
def test_what_is_encoded_decodes_to_the_same(seed: int, arch: Arch, behind: bytes) -> None:
    table = from_seed(random.Random(seed), arch.byteorder)
    assert same(decode(table.encode() + behind, arch, "here"), table)


def test_an_empty_table_decodes() -> None:
    table = decode(empty(X86_64).encode(), X86_64, "here")
    assert (len(table.sections), len(table.ops), len(table.sites), len(table.bases)) == (0, 0, 0, 0)


def test_a_site_takes_six_bytes() -> None:
    rng = random.Random(3)
    table = from_seed(rng, names=("a", "b"))
    more = dataclasses.replace(table, sites=np.repeat(table.sites, 100))
    grown = len(more.encode()) - len(table.encode())
    assert grown / (len(more.sites) - len(table.sites)) == pytest.approx(6, abs=0.1)


@given(seeds, st.integers(1, 2**32 - 1))
@settings(max_examples=200)
def test_any_changed_word_is_noticed(seed: int, change: int) -> None:
    rng = random.Random(seed)
    data = from_seed(rng, names=(".text", ".data")).encode()
    end = sizes(X86_64, *(int(head(decode(data, X86_64, ""))[name]) for name in ("sections", "ops", "sites")))[2]
    at = rng.randrange(0, end, 4)
    word = int.from_bytes(data[at : at + 4], "little") ^ change
    assert inspect(data[:at] + word.to_bytes(4, "little") + data[at + 4 :], X86_64) != "ok"


@given(seeds)
def test_bases_are_no_part_of_the_checksum(seed: int) -> None:
    table = from_seed(random.Random(seed))
    moved = dataclasses.replace(table, bases=table.bases ^ 0x1234)
    assert inspect(moved.encode(), X86_64) == "ok"
    assert head(moved).tobytes() == head(table).tobytes()


def test_a_truncated_table_is_refused_at_every_length() -> None:
    data = from_seed(random.Random(5), names=(".text", ".data")).encode()
    first = head(decode(data, X86_64, "")).nbytes
    for end in range(len(data)):
        assert inspect(data[:end], X86_64) == ("bad_size" if end >= first else "bad_bounds")
        with pytest.raises(BuildplugError, match="here: expected a table, found bad_"):
            decode(data[:end], X86_64, "here")


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_refused(data: bytes, magic: bool) -> None:
    assert inspect(b"BPTB" * magic + data, X86_64) in ("bad_magic", "bad_version", "bad_bounds", "bad_size")


@given(seeds)
@settings(max_examples=200)
def test_damaged_bytes_are_an_error_or_decode(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(from_seed(rng, names=(".text",)).encode())
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] = rng.choice((0, 0xFF, rng.randrange(256)))
    try:
        assert len(decode(bytes(data), X86_64, "here").encode()) <= len(data)
    except BuildplugError as error:
        assert any(name in str(error) for name in ERRORS)


@given(seeds)
@settings(max_examples=20)
def test_what_is_saved_loads_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    table = from_seed(random.Random(seed))
    path = tmp_path_factory.getbasetemp() / "table.npz"
    saved.save(table, path)
    kept = saved.load(path, Rule("r", ""), X86_64)
    assert isinstance(kept, Table)
    assert same(kept, table)
    assert (kept.section_names, kept.op_names) == (table.section_names, table.op_names)


def test_an_empty_table_keeps_its_byte_order(tmp_path: Path) -> None:
    saved.save(empty(BIG), tmp_path / "t.npz")
    kept = saved.load(tmp_path / "t.npz", Rule("r", ""), BIG)
    assert isinstance(kept, Table)
    assert kept.bases.dtype.byteorder == ">"


def test_the_same_table_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        saved.save(from_seed(random.Random(1)), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_damaged_file_is_an_error_or_a_table(tmp_path: Path) -> None:
    saved.save(from_seed(random.Random(1), names=(".text", ".data")), tmp_path / "good.npz")
    good, path, rng = (tmp_path / "good.npz").read_bytes(), tmp_path / "bad.npz", random.Random(9)
    for round_ in range(300):
        data = bytearray(good)
        if round_ % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            saved.load(path, Rule("r", ""), X86_64)
        except BuildplugError as error:
            assert str(error).startswith(f"{path}: expected extracted contents")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"text"])
def test_a_file_that_is_no_table_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(BuildplugError, match="expected extracted contents"):
        saved.load(tmp_path / "bad.npz", Rule("r", ""), X86_64)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match="expected extracted contents"):
        saved.load(tmp_path / "none.npz", Rule("r", ""), X86_64)


@pytest.fixture
def header(tmp_path: Path) -> Path:
    """The folder with the generated C header."""
    (tmp_path / "buildplug.h").write_text(render.runtime(X86_64, tmp_path)["buildplug.h"])
    return tmp_path


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c_and_python_lay_records_out_alike(header: Path, compiler: str) -> None:
    lines = ['#include <stdio.h>\n#include <stddef.h>\n#include "buildplug.h"\nint main(void) {']
    expected = ""
    for record, fields in RECORDS.items():
        kind = dtype(record, "<")
        lines.append(f'printf("{record} %zu\\n", sizeof(struct bp_{record}));')
        expected += f"{record} {kind.itemsize}\n"
        for name, _, _ in fields:
            one = f"struct bp_{record}, {name}"
            size = f"sizeof(((struct bp_{record} *)0)->{name})"
            sign = f"((struct bp_{record}){{ .{name} = -1 }}).{name} < 0"
            lines.append(f'printf("{name} %zu %zu %d\\n", offsetof({one}), {size}, {sign});')
            at, width, signed = kind.fields[name][1] if kind.fields else 0, kind[name].itemsize, kind[name].kind == "i"
            expected += f"{name} {at} {width} {int(signed)}\n"
    for number, error in enumerate(ERRORS):
        lines.append(f'printf("%d\\n", BP_{error.upper()});')
        expected += f"{number}\n"
    lines.append('printf("%x %x %d\\n", BP_MAGIC, BP_NONE, BP_OP_BITS); }')
    expected += f"42545042 {NONE:x} {OP_BITS}\n"
    (header / "host.c").write_text("\n".join(lines))
    tool(compiler, "-std=c11", "-Wall", header / "host.c", "-o", header / "host")
    assert tool(header / "host") == expected


@pytest.mark.parametrize("flags", [("-std=c99", "-Wpedantic"), ("-std=c11",), ("-x", "c++")])
def test_the_header_compiles_on_its_own(header: Path, flags: tuple[str, ...]) -> None:
    (header / "own.c").write_text('#include "buildplug.h"\n#include "buildplug.h"\nint i;\n')
    tool("gcc", "-Wall", "-Wextra", "-Werror", *flags, "-c", header / "own.c", "-o", header / "own.o")


# lld 14 takes no quoted name in ADDR()
SECTIONS = {"ld": (".text", ".rodata", ".data", ".odd name"), "ld.lld": (".text", ".rodata", ".data")}
PROGRAM = """
.section .text; .skip 33, 0x90
.section .rodata, "a"; .skip 7
.section .data, "aw"; .skip 21
.section ".odd name", "aw"; .skip 3
.section .note.GNU-stack, "", @progbits
"""


@pytest.mark.parametrize("flags", [(), ("-pie",), ("-Ttext=0xffffffff81000000",)], ids=["fixed", "pie", "high"])
@pytest.mark.parametrize("ld", SECTIONS)
def test_the_linked_table_is_the_encoded_one(tmp_path: Path, ld: str, flags: tuple[str, ...]) -> None:
    rng = random.Random(len(flags))
    rule = Rule("random", "")
    table = from_seed(rng, names=SECTIONS[ld])
    for name, text in {
        "tables.S": render.table(rule, table, 40, tmp_path),
        "tables.lds": fragment.placement([rule], Placement((Placed(rule, ".rodata", ""),))),
        "anchors.lds": fragment.anchors([(rule.anchor(n), name) for n, name in enumerate(table.section_names)]),
        "program.S": PROGRAM,
    }.items():
        (tmp_path / name).write_text(text)
    for name in ("tables", "program"):
        tool("gcc", "-c", f"{name}.S", "-o", f"{name}.o", cwd=tmp_path)
    inputs = ("program.o", "tables.o", "anchors.lds")
    tool(ld, *flags, "-e", "0", "-T", "tables.lds", *inputs, "-o", "image", cwd=tmp_path)
    image = Image(tmp_path / "image")
    at = image.address_of(rule.symbol)
    assert at is not None
    assert at % 16 == 0
    bases = np.array([image.section(name).address - at for name in SECTIONS[ld]], "<i8")
    data = dataclasses.replace(table, bases=bases).encode()
    section = image.section(rule.section)
    assert image.bytes_of(section).tobytes() == data + bytes(40)
    assert image.symbols["size"][image.names.index(rule.symbol)] == section.size == len(data) + 40


def test_the_stub_is_an_empty_table(tmp_path: Path) -> None:
    rule = Rule("random", "")
    (tmp_path / "stub.S").write_text(render.table(rule, empty(X86_64), 0, tmp_path))
    tool("gcc", "-c", "stub.S", "-o", "stub.o", cwd=tmp_path)
    tool("ld", "-e", "0", "stub.o", "-o", "stub", cwd=tmp_path)
    image = Image(tmp_path / "stub")
    assert image.bytes_of(image.section(rule.section)).tobytes() == empty(X86_64).encode()
    assert image.address_of(rule.symbol) == image.section(rule.section).address
