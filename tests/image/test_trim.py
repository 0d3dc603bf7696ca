"""Trimmed names: what is kept of lists, by names whose trimmed form is known from how they are made."""

import random
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.image.demangle import TRIM, demangled
from buildplug.image.trim import trimmed
from tests.conftest import tool

GENERICS = {
    "core::ptr::drop_in_place::<alloc::vec::Vec<u8>>": "core::ptr::drop_in_place::<...>",
    "core::ptr::drop_in_place<alloc::vec::Vec<u8>>": "core::ptr::drop_in_place<...>",
    "<alloc::vec::Vec<u8> as core::fmt::Debug>::fmt": "<alloc::vec::Vec<...> as core::fmt::Debug>::fmt",
    "<<a::B<u8> as C<D>>::E as F>::g::<H>::{closure#0}": "<<a::B<...> as C<...>>::E as F>::g::<...>::{closure#0}",
    "<&(A<u8>, [B<1>; 2]) as C>::d": "<&(A<...>, [B<...>; 2]) as C>::d",
    "core::num::<impl core::fmt::Debug for A<u8>>::fmt": "core::num::<impl core::fmt::Debug for A<...>>::fmt",
    "a::f::<fn(u8) -> b::C<u8>>": "a::f::<...>",
    "<fn(&u8) -> b::C<u8> as D>::e": "<fn(&u8) -> b::C<...> as D>::e",
    "<[T]>::sort_by::<'<'>": "<[T]>::sort_by::<...>",
    "a::{closure#1}::<u8>::b": "a::{closure#1}::<...>::b",
    "bool operator< <int>(A<int>)": "bool operator< <...>(A<...>)",
    "operator<(A, B)": "operator<(A, B)",
    "std::ostream::operator<<(bool)": "std::ostream::operator<<(bool)",
    "A& operator<< <int>(A&)": "A& operator<< <...>(A&)",
    "auto A::operator<=><int>(B<char>)": "auto A::operator<=><...>(B<...>)",
    "A<int>::operator->() const": "A<...>::operator->() const",
    "A::operator->*<int>(B)": "A::operator->*<...>(B)",
    "a()::{lambda(auto:1)#1}::operator()<int>(int) const": "a()::{lambda(auto:1)#1}::operator()<...>(int) const",
    "void f<((1)>(2)), ((3)<(4))>()": "void f<...>()",
    "S<(char)60>::f[abi:cxx11]<int>()": "S<...>::f[abi:cxx11]<...>()",
    "f<A>() [clone .cold]": "f<...>() [clone .cold]",
    "S<>::f()": "S<>::f()",
    "a<b": "a<b", "a>b": "a>b", "f<(a>": "f<(a>", "f(a<b)": "f(a<b)", "a)(b<c>": "a)(b<c>",
}  # fmt: skip
PARAMETERS = {
    "f(int)": "f(...)", "f()": "f()", "main": "main",
    "(anonymous namespace)::f(A<int>)::g": "(anonymous namespace)::f(...)::g",
    "A<void (int)>::f(B) const": "A<void (int)>::f(...) const",
    "f(int)::{lambda(char)#1}::operator()(char) const": "f(...)::{lambda(...)#1}::operator()(...) const",
    "A::operator()(int)": "A::operator()(...)", "A::operator bool() const": "A::operator bool() const",
    "A::f[abi:cxx11](int)": "A::f[abi:cxx11](...)", "operator new(unsigned long)": "operator new(...)",
    "<fn(u8) as a::B>::c": "<fn(u8) as a::B>::c", "guard variable for f(int)::x": "guard variable for f(...)::x",
}  # fmt: skip


@pytest.mark.parametrize(("brackets", "names"), [(b"<", GENERICS), (b"(", PARAMETERS)], ids=["generics", "parameters"])
def test_what_is_left_of_a_name(brackets: bytes, names: dict[str, str]) -> None:
    shown = trimmed([name.encode() for name in names], brackets)
    assert dict(zip(names, map(bytes.decode, shown), strict=True)) == names


def a_type(chance: random.Random, depth: int) -> tuple[str, str]:
    """A type of Rust, and what is left of it."""
    kind = chance.randrange(7) if depth else 0
    whole, short = a_type(chance, depth - 1) if kind else ("", "")
    more, left = a_type(chance, depth - 1) if kind > 3 else ("", "")
    return (
        ("a::B", "a::B"), (f"a::B<{whole}>", "a::B<...>"), (f"&{whole}", f"&{short}"), (f"[{whole}]", f"[{short}]"),
        (f"({whole}, {more})", f"({short}, {left})"), (f"fn({whole}) -> {more}", f"fn({short}) -> {left}"),
        (f"<{whole} as a::B<{more}>>::C", f"<{short} as a::B<...>>::C"),
    )[kind]  # fmt: skip


@given(seed=st.integers(0, 2**64 - 1), depth=st.integers(1, 6))
def test_only_lists_of_arguments_are_left_out(seed: int, depth: int) -> None:
    chance = random.Random(seed)
    whole, short = a_type(chance, depth)
    argument, _ = a_type(chance, depth)
    name = f"<{whole}>::f::<{argument}>::{{closure#0}}"
    assert trimmed([name.encode()], b"<") == [f"<{short}>::f::<...>::{{closure#0}}".encode()]


def test_parameters_are_those_of_the_demangler() -> None:
    """c++filt leaves them out if it is asked, and with them the type before a name and what follows the list."""
    archive = tool("g++", "-print-file-name=libstdc++.a").strip()
    names = sorted(set(re.findall(r" (_ZNK?St\w+)$", tool("nm", archive), re.MULTILINE)))
    command = ["c++filt", "--no-verbose", "-p"]
    plain = subprocess.run(command, input="\n".join(names), text=True, capture_output=True, check=True)
    shown = [name.decode() for name in demangled([name.encode() for name in names], trim="parameters")]
    assert len(names) > 1000
    for name, without in zip(shown, plain.stdout.split("\n"), strict=True):
        assert re.sub(r"\((\.\.\.)?\)( (const|volatile|&&?))*$", "", name).endswith(without)


def test_only_what_was_mangled_is_trimmed() -> None:
    names = [b"f<int>(int)", b"_Z1fIiEvi", b"_Z1fIiEvi@@V<1>"]
    for what, short in (("generics", b"void f<...>(int)"), ("all", b"void f<...>(...)")):
        assert demangled(names, trim=what) == [b"f<int>(int)", short, short + b"@@V<1>"]
    assert {*TRIM} == {"generics", "parameters", "all"}
