"""Readable names, against nm -C."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.image.demangle import demangled
from tests.conftest import tool
from tests.elfwriter import ALLOC, EXEC, FUNC, File, Section, Symbol
from tests.samples import buildplug

RUST = b"_ZN4core3fmt9Formatter9write_str17h238e48f3fe746690E"
NAMES = [
    RUST, b"_ZN58_$LT$alloc..vec..Vec$LT$A$GT$$u20$as$u20$p..m..T$GT$2go17h0123456789abcdefE",
    b"_RNvCs1234_7mycrate3foo", b"_RNvMs0_NtCs1234_7mycrate3foo3bar", b"_ZNSt6vectorIiSaIiEE9push_backERKi",
    b"_Z1fSs", b"_Z3foov.isra.0", b"_ZN1SIiE1fIcEEiT_", b"_ZZ4mainENKUlvE_clEv", b"_GLOBAL__sub_I_main",
    b"_GLOBAL__I_a", b"___Z3foov_block_invoke", b"____Z3foov_block_invoke_2", b"__Z3foov", b"._Z3foov", b"$_Z3foov",
    b"..$_Z3foov", b"_Z3foov@plt", b"_Z3foov@@V_1", b"._Z3foov@V@W", b"@_Z3foov", b"_Z3foov@", b"a _Z3foov",
    b"_Z3foo v", b" _Z3foov", b'_Z3f"ov', b"_Z3f'ov", b"_Z3f\\ov", b"_Z3f\tov", b"_Z4f\xc3\xb6ov", b"_Z3f\xffov",
    b"_Z", b"_R", b"_Z3foov$$.", b"main", b"@file", b"-h", b"_Z3foo", b"_ZTV3foo", b"_D3foo3barFZv", b"foo__3bari",
]  # fmt: skip

PROGRAM = r"""
#include <map>
#include <string>
template<class A> struct S { A a; template<class B> A f(B) { return a; } };
int \u00f6l() { return 1; }
int main() { std::map<std::string, S<int>> m; return m["x"].f<char>(1) + \u00f6l(); }
"""


def by_nm(names: list[bytes], folder: Path) -> list[bytes]:
    """What nm -C says of symbols with these names."""
    symbols = [Symbol(os.fsdecode(name), 0x1000 + number, 1, FUNC) for number, name in enumerate(names)]
    (folder / "image").write_bytes(File([Section(".text", bytes(1 << 16), 0x1000, ALLOC | EXEC)], symbols).write())
    tool("sh", "-c", "LC_ALL=C nm -Cp image > said", cwd=folder)
    return [line.split(b" ", 2)[2] for line in (folder / "said").read_bytes().split(b"\n")[:-1]]


def test_names_are_those_of_nm(tmp_path: Path) -> None:
    assert demangled(NAMES) == by_nm(NAMES, tmp_path)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_damaged_names_are_those_of_nm(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    names = []
    for name in chance.choices(NAMES, k=200):
        at, letter = (
            chance.randrange(len(name)),
            chance.choice((0x20, 0x24, 0x2E, 0x40, 0x5F, chance.randrange(1, 256))),
        )
        names.append(name[:at] + bytes([letter]) * (letter != 0x0A) + name[at + chance.randrange(2) :])
    assert demangled(names) == by_nm(names, tmp_path_factory.mktemp("nm"))


def test_a_name_with_a_newline_stays_and_shifts_no_other() -> None:
    names = [b"_Z3foov", b"_Z3f\nov", b"\n", b"_Z3barv\n_Z3bazv", b"_Z3barv@\n", b"_Z3quxv"]
    assert demangled(names) == [b"foo()", b"_Z3f\nov", b"\n", b"_Z3barv\n_Z3bazv", b"bar()@\n", b"qux()"]


def test_hashes_are_kept_if_they_are_wanted() -> None:
    assert demangled([RUST, b"_Z1fv"], hashes=True) == [b"core::fmt::Formatter::write_str::h238e48f3fe746690", b"f()"]


def test_names_that_are_not_mangled_need_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demangled([b"main", b"_start"]) == [b"main", b"_start"]
    with pytest.raises(BuildplugError, match=r"^c\+\+filt: expected a program, found none; install binutils, or leave"):
        demangled([b"_Z1fv"])


def test_a_name_without_end_is_an_error_of_one_line() -> None:
    """Each parameter is twice as long as the one before."""
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    endless = "_Z1f1AIiiE" + "".join(f"S_IS{letters[k]}_S{letters[k]}_E" for k in range(36))
    with pytest.raises(BuildplugError, match=r"^c\+\+filt: demangle names failed with .*; leave demangle out"):
        demangled([endless.encode()])


def test_the_list_of_a_program_is_that_of_nm(tmp_path: Path) -> None:
    (tmp_path / "a.cc").write_text(PROGRAM)
    tool("g++", "a.cc", "-o", "a", cwd=tmp_path)
    listed = [line for line in tool("sh", "-c", "LC_ALL=C nm -nC a", cwd=tmp_path).splitlines() if line[0] != " "]
    assert buildplug("ksyms", "a", "--demangle", cwd=tmp_path).stdout.splitlines() == listed
    names = ("\u00f6l()", "int S<int>::f<char>(char)")
    found = buildplug("ksyms", "--demangle", "a", *names, cwd=tmp_path).stdout.splitlines()
    addresses = [int(row.split()[0], 16) for name in names for row in listed if row.endswith(f" {name}")]
    assert [int(line.split()[0], 16) for line in found] == addresses
    assert len(found) == 2
