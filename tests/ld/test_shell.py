"""Programs of `buildplug ld --into`: they pass on other links as they are, without Python."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from buildplug.ld.wrapper import FLAGS
from tests.conftest import tool
from tests.ld.programs import CONFIG, INPUTS, finds_its_functions
from tests.samples import buildplug, edit, one_line

pytestmark = pytest.mark.usefixtures("heeded")

ODD = ("a b", "it's", 'say "so"', "two\nlines", "$HOME", "`true`", "*", "back\\slash", "-dash", "", "ü", "esac")


@pytest.fixture
def programs(work: Path) -> Path:
    """A folder with `ld` and the others, around a linker that notes its words, and the variable of the wrapper."""
    (work / "noting").write_text(
        '#!/bin/sh\nfor w do printf "%s\\0" "$w"; done >>words\necho "$BUILDPLUG_LD_INSIDE" >inside\nexec ld "$@"\n'
    )
    (work / "noting").chmod(0o755)
    (work / "buildplug.toml").unlink()
    (work / "buildplug.toml").write_text(CONFIG)
    assert buildplug("ld", "--into", "bin", "--ld", "./noting", cwd=work).returncode == 0
    (work / "words").unlink()  # of the linker when it was asked for its version
    return work / "bin"


def run(programs: Path, *words: str, python: bool) -> subprocess.CompletedProcess[str]:
    """Calls `ld` of the folder; with `python` false, a Python that is started fails the link."""
    env = os.environ | ({} if python else {"PYTHONHOME": "/nowhere"})
    return subprocess.run(
        [programs / "ld", *words], cwd=programs.parent, env=env, capture_output=True, text=True, check=False
    )


def noted(programs: Path) -> list[str]:
    return (programs.parent / "words").read_text().split("\0")[:-1]


@pytest.mark.parametrize(
    "words",
    [("-r", "extra.o", "-o", "other"), ("extra.o", "-e", "extra", "--output=x/prog.o"), ("--version",), ("no-such.o",)],
    ids=" ".join,
)
def test_other_links_are_passed_on_without_python(programs: Path, words: tuple[str, ...]) -> None:
    (programs.parent / "x").mkdir()
    plain = subprocess.run(["ld", *words], cwd=programs.parent, capture_output=True, text=True, check=False)
    done = run(programs, *words, python=False)
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert noted(programs) == list(words)
    assert (programs.parent / "inside").read_text() == "1\n"


@pytest.mark.parametrize("flag", FLAGS)
def test_options_of_ours_are_not_passed_on(programs: Path, flag: str) -> None:
    assert run(programs, f"--{flag}", "-r", "extra.o", "-o", "other", python=True).returncode == 0
    assert noted(programs) == ["-r", "extra.o", "-o", "other"]


def test_words_are_passed_on_as_they_are(programs: Path) -> None:
    run(programs, "-o", "other", *ODD, python=False)
    assert noted(programs) == ["-o", "other", *ODD]


@pytest.mark.parametrize(
    "output",
    [("-o", "prog"), ("-oprog",), ("--output=prog",), ("--output", "prog"), ("-output=./prog",), ("@words.txt",)],
    ids=" ".join,
)
@pytest.mark.parametrize("first", [True, False], ids=["output first", "output last"])
def test_kernels_link_is_found_however_its_output_is_written(
    programs: Path, output: tuple[str, ...], first: bool
) -> None:
    (programs.parent / "words.txt").write_text("-o prog")
    words = (*output, *INPUTS) if first else (*INPUTS, *output)
    assert run(programs, *words, python=True).returncode == 0
    assert finds_its_functions(programs.parent / "prog")


def test_kernels_link_is_found_after_the_configuration_changed(programs: Path) -> None:
    assert run(programs, "extra.o", "-e", "extra", "-o", "other", python=False).returncode == 0
    old = (programs.parent / "buildplug.toml").stat()
    edit(programs.parent / "buildplug.toml", ('"prog"', '"next"'))
    os.utime(programs.parent / "buildplug.toml", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert run(programs, *INPUTS, "-o", "next", python=True).returncode == 0
    assert finds_its_functions(programs.parent / "next")


def test_failed_link_of_another_name_still_says_which_name_has_the_table(programs: Path) -> None:
    failed = run(programs, *INPUTS, "-o", "other", python=True)
    assert failed.returncode == 1
    assert "expected the output prog, found other" in one_line(failed.stderr)


@pytest.mark.parametrize("words", [("-shared", "-o", "libmacros.so"), ("-o", "x/build_script_build-0123456789abcdef")])
def test_inputs_of_what_cargo_runs_in_a_build_are_not_read(programs: Path, words: tuple[str, ...]) -> None:
    (programs.parent / "x").mkdir()
    plain = subprocess.run(["ld", *INPUTS, *words], cwd=programs.parent, capture_output=True, text=True, check=False)
    done = run(programs, *INPUTS, *words, python=False)  # which they would start, as they refer to a table
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)


def test_linker_that_calls_the_program_again_is_refused(programs: Path) -> None:
    (programs.parent / "noting").write_text(f'#!/bin/sh\nexec "{programs}/ld" "$@"\n')
    failed = run(programs, "-r", "extra.o", "-o", "other", python=True)
    assert "this wrapper again" in one_line(failed.stderr)


def test_linker_that_is_gone_is_one_line(programs: Path) -> None:
    (programs.parent / "noting").unlink()
    failed = run(programs, "-r", "extra.o", "-o", "other", python=True)
    assert (failed.returncode, "noting: cannot be run" in one_line(failed.stderr)) == (1, True)


def test_input_that_can_be_read_only_once_is_not_read_before_the_linker(programs: Path) -> None:
    script = "bin/ld -r extra.o -T <(echo 'SECTIONS { .mine : { *(.text) } }') -o other"
    subprocess.run(["bash", "-c", script], cwd=programs.parent, check=True)
    assert ".mine" in tool("readelf", "-SW", "other", cwd=programs.parent)


def test_signals_are_the_linkers(programs: Path) -> None:
    work = programs.parent
    (work / "noting").write_text("#!/bin/sh\ntrap 'exit 7' TERM\n: >started\nwhile :; do sleep 0.05; done\n")
    with subprocess.Popen([programs / "ld", "extra.o", "-o", "other"], cwd=work) as process:
        while not (work / "started").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 7


@pytest.mark.parametrize("shell", [("dash",), ("bash", "--posix")], ids=" ".join)
def test_any_posix_shell_will_do(programs: Path, shell: tuple[str, ...]) -> None:
    words = [*shell, str(programs / "ld"), "-r", "extra.o", "-o", "other"]
    env = os.environ | {"PYTHONHOME": "/nowhere"}
    assert subprocess.run(words, cwd=programs.parent, env=env, check=False).returncode == 0
