"""The list of stamps: any change of what it notes is noticed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from buildplug.base import files
from buildplug.record import stamps

OPTIONS = {"config": "/k/buildplug.toml", "build": "", "arch": ""}
SAID = ["/k/record.json", "draft: up to date"]


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of two files, a missing one, a program, a variable and a folder."""
    for folder in ("first", "second", "sources"):
        (tmp_path / folder).mkdir()
    for name in ("input", "output", "second/tool"):
        (tmp_path / name).write_text(name)
    (tmp_path / "second" / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    monkeypatch.setenv("CPATH", "here")
    time.sleep(2 * files.CLOCK / 1e9)
    note(tmp_path, time.time_ns())
    return tmp_path


def note(folder: Path, began: int) -> None:
    stamps.write(
        folder / "list", began, options=OPTIONS, variables=["CPATH", "LIBRARY_PATH"], programs=["tool"],
        inputs=[str(folder / "input"), str(folder / "missing")], made=[str(folder / "output")],
        folders=[str(folder / "sources")], said=SAID,
    )  # fmt: skip


def other_tool(folder: Path) -> None:
    (folder / "first" / "tool").write_text("another")
    (folder / "first" / "tool").chmod(0o755)


def same_size_and_time(folder: Path) -> None:
    before = (folder / "input").stat()
    (folder / "input").write_text("INPUT")
    os.utime(folder / "input", ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "input": lambda folder: (folder / "input").write_text("longer than before"),
    "input of the same size and time": same_size_and_time,
    "output": lambda folder: (folder / "output").write_text(""),
    "output is gone": lambda folder: (folder / "output").unlink(),
    "file that was missing": lambda folder: (folder / "missing").write_text(""),
    "program": lambda folder: (folder / "second" / "tool").write_text(""),
    "program earlier in PATH": other_tool,
    "variable": lambda folder: os.environ.update(CPATH="there"),
    "variable that was not set": lambda folder: os.environ.update(LIBRARY_PATH=""),
    "file in a folder": lambda folder: (folder / "sources" / "new.c").write_text(""),
}


def test_what_was_said_is_there_as_long_as_nothing_changes(noted: Path) -> None:
    assert stamps.unchanged(noted / "list", OPTIONS) == SAID


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_noticed(noted: Path, change: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    change(noted)
    assert stamps.unchanged(noted / "list", OPTIONS) is None


def test_other_options_are_another_build(noted: Path) -> None:
    assert stamps.unchanged(noted / "list", OPTIONS | {"arch": "i386"}) is None


def test_input_that_is_written_during_the_build_is_not_noted(noted: Path) -> None:
    """The build may have read it before."""
    (noted / "list").unlink()
    began = time.time_ns()
    (noted / "input").write_text("while it ran")
    note(noted, began)
    assert stamps.unchanged(noted / "list", OPTIONS) is None


@pytest.mark.parametrize("text", ["", "file", "file\0a", "file\0a\0b\0c", "\0\0\0"])
def test_damaged_list_is_no_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    assert stamps.unchanged(tmp_path / "list", {}) is None
