"""Builds with nothing to do: they are over before numpy is imported, and miss no change."""

import os
from pathlib import Path

import pytest

from buildplug.pipeline.run import NOTHING_TO_DO
from buildplug.record import stamps
from tests.samples import buildplug, built, edit, imported

SLOW = {"numpy", "doit", "jinja2", "ninja", "capstone", "rich"}
NOTHING = "".join(f"{line}\n" for line in NOTHING_TO_DO)


def explained(kernel: Path, *words: str | Path) -> str:
    done = buildplug("build", kernel, "--explain", *words)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("directory", [False, True], ids=["usual directory", "directory of the file"])
def test_build_with_nothing_to_do_imports_nothing_slow(kernel: Path, directory: bool) -> None:
    if directory:
        edit(kernel / "buildplug.toml", ("[kernel]", '[kernel]\nbuild = "out"'))
    assert SLOW & imported("build", kernel)
    assert not SLOW & imported("build", kernel)


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("ld", "--help")], ids=" ".join)
def test_words_about_the_command_import_nothing_slow(words: tuple[str, ...]) -> None:
    assert not SLOW & imported(*words)


def test_what_it_says_is_what_the_passes_say(kernel: Path) -> None:
    record = built(kernel)
    assert explained(kernel) == NOTHING
    (kernel / "build" / stamps.NAME).unlink()
    assert explained(kernel) == NOTHING
    assert built(kernel) == record


def test_every_kind_of_change_is_noticed(kernel: Path) -> None:
    built(kernel)
    build, found = kernel / "build", []
    for change in (
        lambda: edit(kernel / "serial.c", ("#include", "/* changed */\n#include")),
        lambda: os.utime(next(kernel.glob("*.h"))),
        lambda: os.utime(kernel / "kernel.lds"),
        lambda: os.utime(kernel / "paravirt.toml"),
        lambda: edit(kernel / "buildplug.toml", ("[kernel]", "# changed\n[kernel]")),
        lambda: (kernel / "another.c").write_text("int another = 1;\n"),
        (build / "vmlinux").unlink,
        lambda: (build / "vmlinux.buildplug.json").write_text("{}"),
        (build / "obj" / "serial.c.o").unlink,
    ):
        assert explained(kernel) == NOTHING
        listed = (build / stamps.NAME).read_bytes()
        change()
        built(kernel)
        found.append((build / stamps.NAME).read_bytes() != listed)
    assert all(found), found


def test_other_options_are_another_build(kernel: Path) -> None:
    same = ("--build-dir", kernel / "build")
    built(kernel, *same)
    assert explained(kernel, *same, "--arch", "i386") != NOTHING
    assert explained(kernel, *same) != NOTHING
    assert explained(kernel, *same) == NOTHING
