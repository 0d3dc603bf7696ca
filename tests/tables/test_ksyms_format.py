"""The format of ksyms: what is encoded decodes as it was, in Python and in C."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.x86 import X86_64
from buildplug.image.names import Names
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables import ksyms_format
from buildplug.tables.ksyms_codec import decode, encode
from buildplug.tables.ksyms_format import ROW, Ksyms, collect
from tests.conftest import tool
from tests.ksyms_host import Host, Question, answer
from tests.tables.ksyms_tables import FLAGS, a_table, many, questions, sections_of, seeds


def same(a: Ksyms, b: Ksyms) -> bool:
    """Whether two tables are equal, but for the names of sections."""
    fields = ("sections", "bases", "rows", "ranks")
    arrays = all(np.array_equal(getattr(a, field), getattr(b, field)) for field in fields)
    return arrays and (a.names, a.by_name, a.raw) == (b.names, b.by_name, b.raw)


def compare(host: Host, table: Ksyms, seed: int = 0) -> None:
    """C and Python give the same answers."""
    at, error = host.check(encode(table))
    assert error == "ok"
    asked = questions(table, at, seed)
    for question, found in zip(asked, host.ask(asked), strict=True):
        assert found == answer(table, at, question), question


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
    raw = [table.raw[i] for i in order.tolist()] if table.raw else []
    assert encode(
        collect(X86_64, *sections_of(sections), table.rows[order], Names.of(names), "test", raw=raw)
    ) == encode(table)


def test_a_table_of_no_section_decodes(host: Host) -> None:
    table = collect(X86_64, *sections_of([]), np.zeros(0, ROW), Names.of([]), "test")
    compare(host, table)
    assert same(decode(encode(table), X86_64, "test"), table)


@settings(max_examples=60)
@given(seed=seeds, by_name=st.booleans())
def test_c_answers_as_python_does(host: Host, seed: int, by_name: bool) -> None:
    compare(host, a_table(seed, by_name=by_name), seed)


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
    compare(host, collect(X86_64, *sections_of([(".text", 100, 0, 64)]), rows, Names.of(names), "test"))


def test_a_symbol_is_found_by_either_of_its_names() -> None:
    rows = np.array([(0, 0, 8, ord("t")), (0, 8, 8, ord("t")), (0, 16, 8, ord("t"))], ROW)
    names, raw = [b"f()", b"plain", b"g"], [b"_Z1fv", b"plain", b"f()"]
    table = collect(X86_64, *sections_of([(".text", 24, 0, 0)]), rows, Names.of(names), "test", raw=raw)
    found = {name: [s.index for s in runtime_ksyms.lookup(table, 0, name)] for name in {*names, *raw}}
    assert found == {b"f()": [0, 2], b"_Z1fv": [0], b"plain": [1], b"g": [2]}
    assert runtime_ksyms.format_address(table, 0, 4) == b"f()+0x4/0x8"
    assert len(table.order) == 5  # a name that a symbol has already adds nothing


def test_of_several_symbols_at_one_address_the_largest_is_found() -> None:
    rows = np.array([(0, 0, 8, ord("t")), (0, 0, 0, ord("T")), (0, 0, 8, ord("t"))], ROW)
    table = collect(
        X86_64, *sections_of([(".text", 16, 0, 0)]), rows, Names.of([b"_alias", b"start", b"alias"]), "test"
    )
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
    assert len(encode(collect(X86_64, *sections_of([(".text", 16, 0, 0)]), rows, Names.of(names), "test"))) < 1000 * (
        40 * 2 + 8
    )


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-O2",), ("-Os", "-m32", "-fno-pic"), ("-O3", "-fpie")])
def test_the_c_compiles_without_warnings_and_needs_nothing(source: Path, compiler: str, flags: tuple[str, ...]) -> None:
    made = source / f"{compiler}{'-'.join(flags)}.o"
    tool(compiler, *FLAGS, *flags, "-c", source / "ksyms.c", "-o", made)
    symbols = [line.split()[-2:] for line in tool("nm", made).splitlines()]
    assert [name for kind, name in symbols if kind not in "tT" and name != "_GLOBAL_OFFSET_TABLE_"] == []
