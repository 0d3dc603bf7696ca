"""The programs that are installed, and those of `buildplug ld --into`, until Python runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.samples import buildplug

INSTALLED = ("buildplug", "buildplug-ld")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With what `ld --into` writes."""
    (tmp_path / "buildplug.toml").write_text('[kernel]\nname = "prog"\n')
    assert buildplug("ld", "--into", ".", cwd=tmp_path).returncode == 0
    return tmp_path


def installed(program: str) -> Path:
    return Path(sys.executable).with_name(program)


@pytest.mark.parametrize("program", [*INSTALLED, "ld"])
def test_an_interrupt_while_python_starts_is_not_answered_with_a_traceback(folder: Path, program: str) -> None:
    (folder / "sitecustomize.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    path = folder / program if program == "ld" else installed(program)
    done = subprocess.run(
        ["env", "--default-signal", path, "-o", "prog"], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_an_env_that_cannot_block_signals_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("#!/bin/sh\nexit 125\n")
    (tmp_path / "env").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([installed("buildplug"), "--help"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["usage:", "buildplug"])


@pytest.mark.parametrize("program", INSTALLED)
def test_a_link_to_an_installed_program_in_another_folder_starts_it(tmp_path: Path, program: str) -> None:
    (tmp_path / "first").symlink_to(installed(program))
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "second").symlink_to("../first")
    done = subprocess.run([tmp_path / "a folder" / "second", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["usage:", "buildplug"])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_stream_is_no_error_and_no_place_for_a_file(closed: str, tmp_path: Path) -> None:
    """A file that took the place of one would get what other programs write there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nend = os._exit\n"
        "os._exit = lambda status: (print([os.path.realpath(f'/proc/self/fd/{n}') for n in range(3)], "
        "file=open('open', 'w')), end(status))\n"
    )
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "buildplug", "path", "make"]
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(words, cwd=tmp_path, env=env, input="", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (" >&-" not in f" {closed}")
    assert (tmp_path / "open").read_text().count("/dev/null") == closed.count("&-")
