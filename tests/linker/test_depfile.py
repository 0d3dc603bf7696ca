"""Depfiles, as linkers write them and as make and ninja read them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.linker.depfile import Depfile, parse
from tests.conftest import tool

NAME = st.text(alphabet="ab #$%:/ü", min_size=1, max_size=8).filter(lambda name: name[-1] != ":")


@given(st.lists(NAME, unique=True))
def test_what_is_written_is_read_again(names: list[str]) -> None:
    depfile = Depfile(("out put",), tuple(names))
    assert parse(depfile.text) == depfile


def test_make_knows_the_files_by_their_names(tmp_path: Path) -> None:
    names = ["a#b", "c$d", "e f"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "d").write_text(Depfile(("out",), tuple(names)).text)
    (tmp_path / "Makefile").write_text("include d\nout: ; @printf '%s\\n' '$(subst $$,S,$^)'\n")
    assert tool("make", "-sB", "out", cwd=tmp_path) == "a#b cSd e f\n"


def test_make_goes_on_when_a_file_is_gone(tmp_path: Path) -> None:
    (tmp_path / "d").write_text(Depfile(("out",), ("gone",)).text)
    (tmp_path / "Makefile").write_text("include d\nout: ; @echo made\n")
    assert tool("make", "-s", "out", cwd=tmp_path) == "made\n"


def test_a_file_is_named_once() -> None:
    assert Depfile(("out",), ("a", "b", "a")).text == "out: a b\n\na:\n\nb:\n"


@pytest.mark.parametrize("text", ["out: \\\n  a \\\n  b\n\na:\n\nb:\n", "out: a b\n", "out: a\t b\na:\nb:\n"])
def test_continued_lines_and_empty_rules_are_read(text: str) -> None:
    assert parse(text).inputs == ("a", "b")


def test_folder_with_a_space_that_the_linker_did_not_escape_is_known() -> None:
    assert parse("/a b/out: x /a b/gen/t.o y\n", unescaped="/a b") == Depfile(("/a b/out",), ("x", "/a b/gen/t.o", "y"))


@pytest.mark.parametrize("linker", ["ld", "ld.lld", "mold"])
def test_depfile_of_a_linker_has_its_inputs(tmp_path: Path, linker: str) -> None:
    (tmp_path / "a.s").write_text(".globl _start\n_start: nop\n")
    tool("as", "a.s", "-o", "a.o", cwd=tmp_path)
    tool(linker, "a.o", "-o", "out", "--dependency-file=d", cwd=tmp_path)
    assert parse((tmp_path / "d").read_text()) == Depfile(("out",), ("a.o",))
