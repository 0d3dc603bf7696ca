"""Links that are killed, and several at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ld.programs import INPUTS, finds_its_functions, ld, linked

pytestmark = pytest.mark.usefixtures("heeded")


def stopping_linker(work: Path) -> Path:
    """A linker that says so and waits where it should link for the second time."""
    path = work / "stopping"
    second = "if [ -e linked ]; then : >at-relink; exec sleep 100; fi; : >linked"
    path.write_text(f'#!/bin/sh\ncase "$*" in *link/prog*) {second};; esac\nexec ld "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_link_that_is_killed_half_way_leaves_the_old_output(work: Path, number: signal.Signals) -> None:
    (work / "prog").write_text("precious")
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", "--ld", stopping_linker(work)]
    words = [*map(str, command), "--relink", *INPUTS, "-o", "prog"]
    with subprocess.Popen(words, cwd=work, process_group=0) as process:
        while not (work / "at-relink").exists() and process.poll() is None:
            time.sleep(0.01)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    assert process.returncode != 0
    assert (work / "prog").read_text() == "precious"
    deadline = time.monotonic() + 15
    while list(work.glob(".*")) and time.monotonic() < deadline:  # what is left of a killed link still cleans up
        time.sleep(0.01)
    assert not list(work.glob(".*"))
    assert ld(work, *INPUTS, "-o", "prog").returncode == 0
    assert finds_its_functions(work / "prog")
    assert not list(work.glob(".*"))


def test_linker_of_another_output_ends_with_the_wrapper(work: Path) -> None:
    linker = work / "waiting"
    linker.write_text("#!/bin/sh\necho $$ >pid.new && mv pid.new pid\nexec sleep 1000\n")
    linker.chmod(0o755)
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", "--ld", str(linker)]
    with subprocess.Popen([*command, *INPUTS, "-o", "other"], cwd=work) as process:
        while not (work / "pid").exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    deadline = time.monotonic() + 15
    while (exe := Path(f"/proc/{int((work / 'pid').read_text())}/exe")).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not exe.exists()


def test_links_of_one_output_at_once_do_not_mix(work: Path) -> None:
    variants = ((), ("extra.o",))
    alone = {linked(work, *INPUTS, *more).read_bytes() for more in variants}
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", *INPUTS, "-o", "prog"]
    running = [subprocess.Popen([*command, *more], cwd=work) for more in variants * 2]
    assert [process.wait() for process in running] == [0] * len(running)
    assert (work / "prog").read_bytes() in alone
    assert not list(work.glob(".*"))
