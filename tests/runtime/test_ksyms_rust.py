"""The lookups in Rust, against those in C and in Python, with the tables that the C is tested with."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.config.rule import find
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.stage import render
from buildplug.tables.ksyms_codec import encode, inspect
from buildplug.tables.ksyms_format import Ksyms
from tests.conftest import tool
from tests.ksyms_host import PRINTS, Host, Question, answer, write
from tests.runtime.rust import CHECKED, missing
from tests.tables.ksyms_tables import a_table, many, questions, seeds
from tests.tables.test_ksyms_damaged import flipped, forged

BARE = "#![no_std]\npub mod bp_ksyms;\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, a library with it that has no standard library, and a program that asks it."""
    folder = tmp_path_factory.mktemp("rust")
    for name, text in render.rust(X86_64, find("ksyms", folder), folder).items():
        (folder / name).write_text(text)
    (folder / "host.rs").write_text(Path(__file__).with_name("rust_host.rs").read_text())
    return folder


@pytest.fixture(scope="module")
def rust(folder: Path) -> Iterator[Host]:
    tool("rustc", *CHECKED, "host.rs", "-o", "host", cwd=folder)
    with Host(folder, [folder / "host"]) as running:
        yield running


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(write(tmp_path_factory.mktemp("c"))) as running:
        yield running


def expected(table: Ksyms, at: int, question: Question) -> str:
    """What Python says. In Rust a text is UTF-8, and it is never cut."""
    kind, value, _ = question
    if isinstance(value, int) and kind in PRINTS:
        return PRINTS[kind](table, at, value).decode(errors="replace").encode().hex()
    return answer(table, at, question)


def relative(answers: list[str], at: int) -> list[list[set[str]]]:
    """The words of answers about a table at an address; those that may be addresses also relative to it."""
    words = [answer.split() for answer in answers]
    return [[{word, f"{(int(word, 16) - at) % 2**64:x}"} for word in answer] for answer in words]


@settings(max_examples=60)
@given(seed=seeds, by_name=st.booleans())
def test_rust_answers_as_python_does(rust: Host, seed: int, by_name: bool) -> None:
    table = a_table(seed, by_name=by_name)
    at, error = rust.check(encode(table))
    assert error == "ok"
    asked = questions(table, at, seed)
    for question, found in zip(asked, rust.ask(asked), strict=True):
        assert found == expected(table, at, question), question


@settings(max_examples=150)
@given(seed=seeds)
def test_rust_says_of_a_forged_table_what_c_says(rust: Host, c: Host, seed: int) -> None:
    table, chance = a_table(seed), random.Random(seed)
    data = forged(encode(table), chance)
    answers = []
    for host in rust, c:
        at, error = host.check(data)
        assert error == inspect(data, X86_64)
        asked = [q for q in questions(table, at, seed) if q[0] not in PRINTS and error == "ok"]
        answers.append(relative(host.ask(asked), at))
    for ours, theirs in zip(*answers, strict=True):
        assert len(ours) == len(theirs)
        assert all(map(set.intersection, ours, theirs))


@settings(max_examples=60)
@given(seed=seeds)
def test_damaged_and_cut_off_tables_are_refused_as_c_does(rust: Host, seed: int) -> None:
    chance = random.Random(seed)
    whole = encode(a_table(seed))
    for data in flipped(whole, chance), whole[: chance.randrange(len(whole))]:
        _, error = rust.check(data)
        rust.ask([])
        assert error == inspect(data, X86_64)


def test_all_symbols_are_listed_in_their_order(rust: Host) -> None:
    table = many(1000)
    at, _ = rust.check(encode(table))
    symbols = [runtime_ksyms.symbol(table, at, index) for index in range(1000)]
    parts = [f"{s.index:x} {s.address:x} {s.size:x} {ord(s.type):02x} {len(s.name):x} {s.name.hex()}" for s in symbols]
    assert rust.ask([("a", 0, 4096)]) == ["".join(parts)]


def test_a_name_with_a_zero_byte_is_not_found(rust: Host) -> None:
    table = many(10)
    rust.check(encode(table))
    assert rust.ask([("l", table.names[0] + b"\0", 0), ("l", b"\0", 0)]) == ["", ""]


def test_it_needs_no_allocator_cannot_panic_and_clippy_has_nothing_to_say(folder: Path) -> None:
    wanted = missing(folder, ["bp_ksyms"])
    assert wanted
    assert [name for name in wanted if "panic" in name or "alloc" in name] == []


@pytest.mark.parametrize("arch", sorted(ARCHES))
def test_another_pointer_size_is_refused_by_the_compiler(tmp_path: Path, arch: str) -> None:
    for name, text in render.rust(ARCHES[arch], find("ksyms", tmp_path), tmp_path).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bare.rs").write_text(BARE)
    command = ("rustc", "--edition", "2021", "--crate-type", "lib", "--emit", "metadata", "bare.rs")
    if ARCHES[arch].word == 8:
        tool(*command, cwd=tmp_path)
    else:
        with pytest.raises(AssertionError, match=f"generated for {arch}, compiled for another"):
            tool(*command, cwd=tmp_path)
