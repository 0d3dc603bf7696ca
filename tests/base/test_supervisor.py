"""What a command has started ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.samples import one_line

pytestmark = pytest.mark.usefixtures("heeded")

MARK = "BUILDPLUG_TEST_MARK"
WAIT = 120  # seconds that the machine may be busy
ENDS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]


def running(mark: Path) -> dict[int, str]:
    """The processes that have been started with a mark: pid -> program. A zombie has no environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "comm").read_text().strip()
        except OSError:  # it has ended
            continue
    return found


def wait_until(what: str, true: object) -> None:
    assert callable(true)
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def started(folder: Path, script: str) -> "subprocess.Popen[str]":
    """A build whose compiler is a script, which says that it runs by a file of the name `compiling`."""
    (folder / "slow").write_text(f"#!/bin/sh\n{script}\n: >compiling\nsleep 1000 & wait\nsleep 1000\n")
    (folder / "slow").chmod(0o755)
    (folder / "k.c").write_text("int _start(void) { return 0; }\n")
    (folder / "k.lds").write_text("SECTIONS { .text : { *(.text*) } .rodata : { *(.rodata*) } }\n")
    (folder / "buildplug.toml").write_text(
        '[kernel]\nname = "k"\n[toolchain]\ncc = "./slow"\n[compile]\nsources = ["k.c"]\n'
        '[link]\nscript = "k.lds"\n[[table]]\nrule = "ksyms"\n'
    )
    process = subprocess.Popen(
        ["env", "--default-signal", sys.executable, "-m", "buildplug", "build"], cwd=folder,
        env=os.environ | {MARK: str(folder)}, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    wait_until("no compiler was started", (folder / "compiling").exists)
    return process


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["alone", "with its group"])
def test_no_compiler_outlives_the_build(tmp_path: Path, number: signal.Signals, send: object) -> None:
    assert callable(send)
    process = started(tmp_path, "")
    wait_until("it does not compile", lambda: {"ninja", "slow", "sleep"} <= set(running(tmp_path).values()))
    send(process.pid, number)
    _, said = process.communicate(timeout=WAIT)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert said == ""
    wait_until(f"left running: {running(tmp_path)}", lambda: not running(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_compiler_that_ignores_signals_or_hides_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path, "trap '' TERM INT HUP\nsetsid sleep 1000 &")
    process.send_signal(number)
    process.communicate(timeout=WAIT)
    wait_until(f"left running: {running(tmp_path)}", lambda: not running(tmp_path))


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    process = started(tmp_path, "")
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    _, said = process.communicate(timeout=WAIT)
    assert process.returncode == 128 + signal.SIGKILL
    assert "the process that does the work was killed by signal 9" in one_line(said)
    assert running(tmp_path) == {}


def test_ctrl_z_stops_the_build_until_it_goes_on(tmp_path: Path) -> None:
    process = started(tmp_path, "")

    def states() -> set[str]:
        found = set()
        for pid in (pid for pid, name in running(tmp_path).items() if name.startswith(("python", "ninja"))):
            with suppress(OSError):  # it has ended
                found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0])
        return found

    process.send_signal(signal.SIGTSTP)
    wait_until("it runs on", lambda: states() == {"T"})
    process.send_signal(signal.SIGCONT)
    wait_until("it does not go on", lambda: states() == {"S"})
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT)


def test_an_early_interrupt_prints_nothing(tmp_path: Path) -> None:
    """Here while the first module is imported."""
    (tmp_path / "signal.py").write_text("import os\nos.kill(os.getpid(), 2)\nwhile True:\n    pass\n")
    done = subprocess.run(
        ["env", "--default-signal", sys.executable, "-c", "from buildplug.__main__ import run; run()", "new"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "")


def test_a_child_that_proc_leaves_out_is_ended(tmp_path: Path) -> None:
    """As proc(5) says that it may, of a process whose children are not stopped."""
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess\n"
        "from buildplug.base import supervisor\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "real, answers = supervisor.children, [set(), set(), set()]\n"
        "supervisor.children = lambda: answers.pop() if answers else real()\n"
        "supervisor.end_children()\n"
        "print(child.poll() is not None)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_processes_that_end_while_they_are_looked_at_are_no_error(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from buildplug.base import supervisor\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # so that they are gone at once
        "for _ in range(300):\n"
        "    if not (pid := os.fork()):\n"
        "        os._exit(0)\n"
        "    while os.path.exists(f'/proc/{pid}'):\n"
        "        supervisor._children_of(pid)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_a_killed_worker_is_cleaned_up_after_also_if_ending_its_children_fails(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from buildplug.base import supervisor\n"
        "def fail(*_): raise OSError('fails')\n"
        "supervisor.end_children = fail\n"
        "try:\n"
        "    supervisor.supervise(lambda: print('cleaned'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("cleaned\nfails\n", "")
