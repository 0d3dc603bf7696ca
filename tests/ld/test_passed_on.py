"""Links that the wrapper passes on: they stay the linker's own."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.ld.programs import INPUTS, LINKERS, ld
from tests.samples import buildplug, one_line


@pytest.mark.parametrize(
    "words",
    [
        ("--version",), ("-v",), ("-V",), ("--help",), (), ("-o", "prog"), ("-r", *INPUTS, "-o", "prog"),
        ("-shared", "extra.o", "-o", "prog"), ("extra.o", "-e", "extra", "-o", "other"), ("@words",),
        ("broken.o", "-o", "other"), ("no-such.o", "-r", "-o", "prog"), ("extra.o", "-o", "no-such/prog"),
        ("extra.o", "-o", "prog", "-T", "no-such.lds"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_any_other_link_is_the_linkers_own(work: Path, words: tuple[str, ...]) -> None:
    (work / "words").write_text(f"--relocatable {shlex.join(INPUTS)} -o prog")
    results = []
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml"]):
        done = subprocess.run([*command, *words], cwd=work, capture_output=True, check=False)
        made = {name: (work / name).read_bytes() for name in ("prog", "other") if (work / name).exists()}
        results.append((done.returncode, done.stdout, done.stderr, made))
        for name in made:
            (work / name).unlink()
    assert results[0] == results[1]


def test_link_without_tables_is_the_linkers_own(work: Path) -> None:
    (work / "none.toml").write_text('[kernel]\nname = "prog"\n')
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config=none.toml"]):
        subprocess.run([*command, "extra.o", "-e", "extra", "-o", "prog"], cwd=work, check=True)
        (work / "prog").rename(work / Path(command[0]).name)
    assert (work / "ld").read_bytes() == (work / Path(sys.executable).name).read_bytes()


@pytest.mark.parametrize("linker", LINKERS)
def test_error_of_the_users_is_the_linkers_alone(work: Path, linker: str) -> None:
    plain = subprocess.run(
        [linker, "broken.o", "extra.o", "-e", "0", "-o", "other"], cwd=work, capture_output=True, text=True, check=False
    )
    done = ld(work, "broken.o", "extra.o", "-e", "0", "-o", "prog", linker=linker)
    assert plain.returncode != 0
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert not list(work.glob(".*"))


def test_help_of_the_linker_is_there_for_who_names_one(tmp_path: Path) -> None:
    assert buildplug("ld", "--ld", "ld", "--help", cwd=tmp_path).stdout == tool("ld", "--help")


def test_failed_link_of_another_name_that_wants_a_table_says_which_name_has_it(work: Path) -> None:
    failed = ld(work, *INPUTS, "-o", "other")
    assert failed.returncode == 1
    assert "undefined reference to `bp_functions'" in failed.stderr
    line = one_line(failed.stderr)
    assert "other: was linked without the table bp_functions, which program.o refers to" in line
    assert "expected the output prog, found other" in line


def test_link_of_another_name_ends_with_the_status_and_by_the_signals_of_the_linker(work: Path) -> None:
    (work / "slow").write_text("#!/bin/sh\ntrap 'exit 7' TERM\n: >started\nwhile :; do sleep 0.05; done\n")
    (work / "slow").chmod(0o755)
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", "--ld", "./slow", "extra.o"]
    with subprocess.Popen(command, cwd=work) as process:
        while not (work / "started").exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
    assert process.returncode == 7


@pytest.mark.parametrize("words", [("-r",), ("-shared",)])
def test_link_that_is_passed_on_imports_next_to_nothing(work: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "buildplug", "ld", "--ld", "true", *words, "extra.o"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "buildplug.linker.command_line" in modules
    assert not modules & {"argparse", "dataclasses", "pathlib", "re", "tomllib", "typing"}
