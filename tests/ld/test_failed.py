"""Links that fail: they leave no output of an earlier link, which would be taken for theirs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ld.programs import INPUTS, LINKERS, ld, linked
from tests.samples import one_line

SIDE_FILES = ("-Map=map", "--dependency-file=depfile")


def left(work: Path) -> set[str]:
    return {name for name in ("prog", "map", "depfile") if (work / name).exists()}


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("more", ["broken.o", "no-such.o"])
def test_users_link_that_fails_leaves_no_output(work: Path, linker: str, more: str) -> None:
    linked(work, *INPUTS, *SIDE_FILES, linker=linker)
    assert left(work) == {"prog", "map", "depfile"}
    assert ld(work, *INPUTS, more, *SIDE_FILES, "-o", "prog", linker=linker).returncode != 0
    assert not left(work)


def test_link_that_fails_with_the_tables_leaves_no_output(work: Path) -> None:
    linked(work, *INPUTS, *SIDE_FILES)
    (work / "failing").write_text('#!/bin/sh\ncase "$*" in *_table.S.o*) exit 7;; esac\nexec ld "$@"\n')
    (work / "failing").chmod(0o755)
    failed = ld(work, *INPUTS, *SIDE_FILES, "-o", "prog", linker="./failing")
    assert failed.returncode == 7
    assert "the link with the tables failed" in one_line(failed.stderr)
    assert not left(work)


@pytest.mark.parametrize("words", [("--strip-all",), ("-o", "prog")], ids=" ".join)
def test_link_that_we_refuse_leaves_no_output(work: Path, words: tuple[str, ...]) -> None:
    linked(work, *INPUTS)
    (work / "buildplug.toml").unlink()
    broken = "" if words == ("--strip-all",) else "exclude = 3\n"
    (work / "buildplug.toml").write_text(f'[kernel]\nname = "prog"\n[[table]]\nrule = "functions"\n{broken}')
    failed = ld(work, *INPUTS, *words, "-o", "prog")
    one_line(failed.stderr)
    assert not left(work)


DAMAGING = """#!{python}
import subprocess, sys
from pathlib import Path
from buildplug.image.elf import Image

status = subprocess.run(["ld", *sys.argv[1:]]).returncode
if status or "-o" not in sys.argv:
    sys.exit(status)
output = Path(sys.argv[-1])  # ours comes last
image = Image(output)
text = image.section(".text")
row = image.relocations(of=image.headers["address"] == text.address)[0]
content = bytearray(output.read_bytes())
content[text.offset + int(row["offset"])] ^= 1
output.write_bytes(content)
"""


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("words", [(), ("--keep",)], ids=" ".join)
@pytest.mark.parametrize("again", [False, True])
def test_a_field_that_contradicts_its_relocation_is_refused(work: Path, words: tuple[str, ...], *, again: bool) -> None:
    if again:
        linked(work, *INPUTS, "--emit-relocs")
    (work / "damaging").write_text(DAMAGING.format(python=sys.executable))
    (work / "damaging").chmod(0o755)
    failed = ld(work, *words, *INPUTS, "--emit-relocs", "-o", "prog", linker="./damaging")
    assert failed.returncode == 1
    assert "does not hold what its relocation says" in one_line(failed.stderr)
    assert not left(work)


def test_failed_link_through_a_symbolic_link_removes_only_that(work: Path) -> None:
    """GNU ld is the oracle."""
    for linker in (["ld"], None):
        (work / "target").write_text("old")
        (work / "prog").symlink_to("target")
        words = (*INPUTS, "broken.o", "-o", "prog")
        done = subprocess.run([*linker, *words], cwd=work, check=False) if linker else ld(work, *words)
        assert done.returncode != 0
        assert not (work / "prog").is_symlink()
        assert (work / "target").read_text() == "old"
