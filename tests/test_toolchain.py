"""The runner of other programs."""

import os
from pathlib import Path

import pytest

from buildplug.errors import BuildplugError
from buildplug.toolchain import run, version


def test_both_streams_come_in_their_order(tmp_path: Path) -> None:
    done = run(["sh", "-c", "echo one; echo two >&2; echo three"], tmp_path, "talk")
    assert done.output == "one\ntwo\nthree\n"


def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    assert run(["pwd", "-P"], tmp_path, "say where").output.strip() == str(tmp_path.resolve())


def test_words_are_words_and_no_shell_sees_them(tmp_path: Path) -> None:
    words = ["$(reboot)", "a b", "; false", "*", ""]
    assert run(["printf", "%s\n", *words], tmp_path, "print").output.splitlines() == words


def test_messages_come_in_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run(["sh", "-c", "echo $LC_ALL"], tmp_path, "say").output == "C\n"
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


def test_nothing_comes_in(tmp_path: Path) -> None:
    assert run(["cat"], tmp_path, "read").output == ""


def test_output_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    assert run(["printf", "\\377x"], tmp_path, "print").output == "\\xffx"


@pytest.mark.parametrize(("script", "ended"), [("exit 3", "exit status 3"), ("kill -9 $$", "signal 9")])
def test_a_failure_says_how_it_ended_and_keeps_the_output(tmp_path: Path, script: str, ended: str) -> None:
    with pytest.raises(BuildplugError, match=f"sh: link it failed with {ended}") as caught:
        run(["sh", "-c", f"echo because; {script}"], tmp_path, "link it")
    assert caught.value.output == "because\n"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("program", ["no-such-tool", "/", "/etc/passwd", "", "a\0b"])
def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path, program: str) -> None:
    with pytest.raises(BuildplugError, match=r"cannot be run to link it: .*; install it, or name another"):
        run([program], tmp_path, "link it")


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match="cannot be run"):
        run(["true"], tmp_path / "gone", "do it")


def test_a_version_is_one_line(tmp_path: Path) -> None:
    assert version("ld", tmp_path).startswith("GNU ld")
    assert "\n" not in version("gcc", tmp_path)


@pytest.mark.parametrize("program", ["false", "no-such-tool"])
def test_a_program_without_a_version_has_an_empty_one(tmp_path: Path, program: str) -> None:
    assert version(program, tmp_path) == ""
