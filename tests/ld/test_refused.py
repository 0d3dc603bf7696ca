"""Options that keep a link from getting tables are refused by name before the linker runs; a linker that dies of a
signal is reported as such."""

import signal
from pathlib import Path

import pytest

from tests.ld.programs import INPUTS, ld, linked
from tests.samples import buildplug, one_line

SCRIPT = ("-T", "user.lds")
REFUSED = [
    (("--retain-symbols-file=list",), "--retain-symbols-file=list"),
    (("-retain-symbols-file", "list"), "--retain-symbols-file=list"),
    (("--oformat", "binary"), "--oformat=binary"),
    (("--strip-all",), "--strip-all"),
    (("-s",), "--strip-all"),
    (("--unique",), "--unique"),
    (("-unique",), "--unique"),
    (("--unique=.text",), "--unique=.text"),
    (("--unique", *SCRIPT), "--unique"),
    (("--split-by-file",), "--split-by-file"),
    (("--task-link", "main"), "--task-link=main"),
    (("--enable-non-contiguous-regions",), "--enable-non-contiguous-regions"),
    (("-enable-non-contiguous-regions", *SCRIPT), "--enable-non-contiguous-regions"),
    (("--orphan-handling=error",), "--orphan-handling=error"),
    (("--orphan-handling", "discard"), "--orphan-handling=discard"),
    (("--shuffle-sections=*=7",), "--shuffle-sections=*=7"),
    (("--shuffle-sections",), "--shuffle-sections"),
    (("--lto-emit-asm",), "--lto-emit-asm"),
    (("--lto-emit-llvm",), "--lto-emit-llvm"),
    (("--thinlto-index-only=x",), "--thinlto-index-only=x"),
    (("-plugin-opt=emit-asm", "-plugin-opt=O2"), "--plugin-opt=emit-asm"),
    (("--plugin-opt", "emit-llvm"), "--plugin-opt=emit-llvm"),
    (("-z", "nosectionheader"), "-z nosectionheader"),
    (("-znosectionheader", "-z", "now"), "-z nosectionheader"),
]


def linker(folder: Path, text: str) -> str:
    """A linker that does what `text` says unless it is asked for its version."""
    (folder / "linker").write_text(f'#!/bin/sh\ncase "$*" in *--version*) exec ld --version;; esac\n{text}\n')
    (folder / "linker").chmod(0o755)
    return "./linker"


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_it_is_refused_by_name_before_the_first_link(work: Path, words: tuple[str, ...], said: str) -> None:
    failed = ld(work, *words, *INPUTS, "-o", "prog", linker=linker(work, "touch linked"))
    assert failed.returncode == 1
    assert one_line(failed.stderr).startswith(f"buildplug: {said}: cannot be used: ")
    assert not (work / "linked").exists()


def test_a_response_file_is_read_for_it(work: Path) -> None:
    (work / "words").write_text("--unique")
    failed = ld(work, "@words", *INPUTS, "-o", "prog")
    assert one_line(failed.stderr).startswith("buildplug: --unique: cannot be used: ")


@pytest.mark.parametrize(
    "words",
    [
        ("--orphan-handling=place",), ("--orphan-handling=discard", *SCRIPT), ("--split-by-reloc=9",),
        ("--orphan-handling=warn",), ("-z", "now"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_goes_with_tables_is_not_refused(work: Path, words: tuple[str, ...]) -> None:
    linked(work, *words, *INPUTS)


def test_it_is_refused_in_the_flags_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "k.c").write_text("int _start(void) { return 0; }")
    (tmp_path / "buildplug.toml").write_text(
        '[kernel]\nname = "k.elf"\n[compile]\nsources = ["k.c"]\n[link]\nflags = ["--orphan-handling=error"]\n'
        '[[table]]\nrule = "ksyms"\n'
    )
    failed = buildplug("build", cwd=tmp_path)
    assert failed.returncode == 1
    assert one_line(failed.stderr).startswith("buildplug: --orphan-handling=error: cannot be used: ")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
@pytest.mark.parametrize("output", ["prog", "other"])
def test_a_linker_that_dies_of_a_signal_is_reported(work: Path, number: signal.Signals, output: str) -> None:
    failed = ld(work, *INPUTS, "-o", output, linker=linker(work, f"kill -{int(number)} $$"))
    assert failed.returncode == 128 + number
    assert f"signal {int(number)} ({signal.strsignal(number)})" in one_line(failed.stderr)


def test_a_link_with_tables_that_dies_of_a_signal_is_reported(work: Path) -> None:
    dies = linker(work, 'case "$*" in *_table.S.o*) kill -SEGV $$;; esac\nexec ld "$@"')
    failed = ld(work, *INPUTS, "-o", "prog", linker=dies)
    assert failed.returncode == 128 + signal.SIGSEGV
    assert "the link with the tables failed with signal 11 (Segmentation fault)" in one_line(failed.stderr)


def test_a_linker_that_makes_no_image_is_reported(work: Path) -> None:
    failed = ld(work, *INPUTS, "-o", "prog", linker=linker(work, "exit 0"))
    assert "made no image" in one_line(failed.stderr)
