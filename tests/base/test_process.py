"""The runner of other programs."""

import os
import threading
import time
from pathlib import Path

import pytest

from buildplug.base import process
from buildplug.base.errors import BuildplugError
from buildplug.base.process import capture, environment, run, run_all, run_isolated, version


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


def test_what_is_done_meanwhile_is_done_while_it_runs(tmp_path: Path) -> None:
    wait = ["sh", "-c", "until [ -e go ]; do sleep 0.01; done; echo went"]
    assert run(wait, tmp_path, "wait", meanwhile=(tmp_path / "go").touch).output == "went\n"


@pytest.mark.parametrize("captured", [False, True])
def test_what_fails_meanwhile_ends_the_program(tmp_path: Path, captured: bool) -> None:
    def fail() -> None:
        raise ValueError("meanwhile")

    started, wait = time.monotonic(), ["sleep", "60"]
    with pytest.raises(ValueError, match="meanwhile"):
        capture(wait, environment(), fail) if captured else run(wait, tmp_path, "wait", meanwhile=fail)
    assert time.monotonic() - started < 30


def test_programs_that_run_together_all_run(tmp_path: Path) -> None:
    run_all([["touch", str(number)] for number in range(9)], tmp_path, "touch")
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(9)]


def test_of_programs_that_run_together_the_first_failure_is_said_and_the_rest_end(tmp_path: Path) -> None:
    commands = [["sh", "-c", "sleep 0.1; echo slow; exit 3"], ["sh", "-c", "exit 4"], ["sleep", "60"]]
    started = time.monotonic()
    with pytest.raises(BuildplugError, match="exit status 3") as failed:
        run_all(commands, tmp_path, "fail")
    assert failed.value.output == "slow\n"
    assert time.monotonic() - started < 30


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


def test_a_group_ends_with_its_leader(tmp_path: Path) -> None:
    said = run_isolated(["sh", "-c", "sleep 60 >/dev/null & echo $!"], tmp_path, "leave something", os.environ).output
    until = time.monotonic() + 10
    while Path(f"/proc/{int(said)}/cwd").exists() and time.monotonic() < until:  # a zombie has none
        time.sleep(0.01)
    assert not Path(f"/proc/{int(said)}/cwd").exists()


def test_a_group_has_the_environment_and_the_umask_that_it_is_given(tmp_path: Path) -> None:
    said = run_isolated(
        ["sh", "-c", "umask; echo $A-$HOME"], tmp_path, "say", {"A": "1"}, 0o27, ["setarch", "-R"]
    ).output
    assert said.split() == ["0027", "1-"]


def test_the_error_of_a_group_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=r"^false: build failed with exit status 1"):
        run_isolated(["false"], tmp_path, "build", os.environ, started_by=["setarch", "-R"])


def test_source_date_epoch_is_told_linux_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("KBUILD_BUILD_HOST", "mine")
    found = environment()
    said = run(["date", "-u", "-d", "@1700000000"], tmp_path, "say when").output
    assert found["KBUILD_BUILD_TIMESTAMP"] == said.strip()
    assert found["KBUILD_BUILD_USER"]
    assert found["KBUILD_BUILD_HOST"] == "mine"


def test_no_source_date_epoch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert environment() == dict(os.environ)


@pytest.mark.parametrize("epoch", ["", "now", "-1", "1e9", "²", "9" * 5000])
def test_source_date_epoch_that_is_no_time_is_an_error(monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(BuildplugError, match="SOURCE_DATE_EPOCH: expected seconds since 1970, found"):
        environment()


def test_shared_memory_that_goes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SHARED_MEMORY", tmp_path)
    gone, seconds = tmp_path / "faketime_shm_7", time.monotonic() + 0.5
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            gone.touch()
            gone.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        while time.monotonic() < seconds:
            assert process.faketimes().keys() <= {7}
    finally:
        ended.set()
        other.join()
