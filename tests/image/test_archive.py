"""The members of archives, as binutils' ar makes and lists them."""

from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.archive import objects
from tests.conftest import tool

NAMES = ("a.o", "a_name_of_more_than_fifteen_letters.o", "odd.o")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with objects of different lengths."""
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(NAMES):
        source = tmp_path / "s.S"
        source.write_text(f'.globl f{number}\nf{number}: .fill {number + 1}\n.section .note.GNU-stack, ""\n')
        tool("gcc", "-c", source, "-o", tmp_path / "sub" / name)
    return tmp_path


@pytest.mark.parametrize("options", ["rc", "rcs", "rcT", "rcsT"])
def test_members_are_those_that_ar_lists(folder: Path, options: str) -> None:
    tool("ar", options, "lib.a", *(f"sub/{name}" for name in NAMES), cwd=folder)
    found = list(objects(folder / "lib.a"))
    listed = [Path(name).name for name in tool("ar", "t", "lib.a", cwd=folder).split()]
    assert [member.path.name.removeprefix("lib.a(").removesuffix(")") for member in found] == listed
    assert [bytes(member.image.data) for member in found] == [(folder / "sub" / name).read_bytes() for name in NAMES]


def test_an_object_is_its_own_member(folder: Path) -> None:
    path = folder / "sub" / "a.o"
    assert [member.path for member in objects(path)] == [path]


@pytest.mark.parametrize("size", [8 + 30, 8 + 60 + 5, 200])
def test_an_archive_that_ends_early_is_an_error_of_one_line(folder: Path, size: int) -> None:
    tool("ar", "rcS", "lib.a", "sub/a.o", cwd=folder)
    (folder / "cut.a").write_bytes((folder / "lib.a").read_bytes()[:size])
    with pytest.raises(BuildplugError, match=r"cut\.a: expected "):
        list(objects(folder / "cut.a"))
