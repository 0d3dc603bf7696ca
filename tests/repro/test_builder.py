"""Where repro builds: what is wrong is one line; however it ends, nothing is left and the originals are as before."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildplug.repro.settings import AS_NOBODY
from tests.rebuilding import assert_nothing_is_left, make, repro, result, tree_digest
from tests.samples import one_line

pytestmark = pytest.mark.usefixtures("heeded")


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (
            ["--vary=timezome", "--output", "out", "--", "make"],
            "unknown variation 'timezome'; did you mean 'timezone'?",
            2,
        ),
        (["--vary=time.faketimes=1", "--output", "out", "--", "make"], "unknown variation", 2),
        (["--vary=--time", "--output", "out", "--", "make"], "unknown variation '-time'", 2),
        (["--vary=-", "--output", "out", "--", "make"], "unknown variation ''", 2),
        (["--", "make"], "expected --output", 2),
        (["--output", "/etc/passwd", "--", "make"], "expected a path or a glob in the project", 2),
        (["--output", "../x", "--", "make"], "expected a path or a glob in the project", 2),
        (["--output", "**out", "--", "make"], "expected a path or a glob in the project", 2),
        (["--output", ".", "--", "make"], "expected a path or a glob in the project", 2),
        (["--output", "none", "--vary=-all", "--", "true"], "none: expected an output of that name, found none", 1),
        (["--output", "out", "--vary=-all", "--", "false"], "the control build: false: build failed", 1),
        (["--output", "out", "--vary=-all", "--", "no-such-tool"], "no-such-tool: cannot be run", 1),
        (["--vary=input_order", "--output", "out", "--", "make"], "input_order cannot be varied", 1),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, scratch: Path, words: list[str], said: str, status: int) -> None:
    project = make(tmp_path / "project", "echo >out")
    done = repro(project, scratch, *words)
    assert done.returncode == status
    assert said in one_line(done.stderr)


def test_build_that_fails_in_a_variation_names_it(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "cd $$HOME && cd $(CURDIR) && echo >out")
    before = tree_digest(project)
    done = repro(project, scratch, "--vary=-all,umask,home,timezone", "--output", "out", "--", "make")
    assert done.returncode == 1
    assert "nonexistent" in done.stderr
    line = one_line(done.stderr)
    assert "the build with home varied: make: build failed with exit status 2" in line
    assert "--vary=-home leaves it out" in line
    assert tree_digest(project) == before
    assert_nothing_is_left(scratch)


def test_output_that_a_variation_lacks_is_one_line(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", 'touch "out$$TZ"')
    done = repro(project, scratch, "--vary=-all,timezone", "--output", "out*", "--", "make")
    assert "outGMT+12: expected in every build, found only in the control" in one_line(done.stderr)


def test_output_behind_a_link_out_of_the_project_is_left_alone(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo >elsewhere/out")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "out").write_text("mine")
    (project / "elsewhere").symlink_to(tmp_path / "elsewhere")
    done = repro(project, scratch, "--vary=-all", "--output", "elsewhere/out", "--", "make")
    assert "behind a symbolic link" in one_line(done.stderr)
    assert (tmp_path / "elsewhere" / "out").read_text() == "mine"


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("room", ["16k", "1m"], ids=["for no copy", "for no build"])
def test_no_room_is_one_line(tmp_path: Path, room: str) -> None:
    project = make(tmp_path / "project", "head -c 2000000 /dev/zero >out")
    (project / "source").write_bytes(bytes(100000))
    before, disk = tree_digest(project), tmp_path / "disk"
    disk.mkdir()
    # A small disk of our own, in a namespace that goes with us.
    script = f'mount -t tmpfs -o size={room} none "$TMPDIR" && "$@"; status=$?; ls -A "$TMPDIR"; exit $status'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "buildplug",
         "repro", str(project), "--vary=-all", "--output", "out", "--", "make"],
        env=os.environ | {"TMPDIR": str(disk)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    one_line(done.stderr)
    assert done.stdout == ""
    assert tree_digest(project) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_interrupt_leaves_nothing(tmp_path: Path, scratch: Path, number: signal.Signals) -> None:
    mark = tmp_path / "building"
    project = make(
        tmp_path / "project", f'[ "$$TZ" = GMT+12 ] || {{ touch {mark}; setsid sleep 1000 & sleep 1000; }}; echo >out'
    )
    before = tree_digest(project)
    words = [sys.executable, "-m", "buildplug", "repro", str(project), "--output", "out", "--", "make"]
    process = subprocess.Popen(
        ["env", "--default-signal", *words],  # whatever whoever runs the tests ignores
        env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)  # whoever is impatient
    _, said = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert f"interrupted by {number.name}" in one_line(said)
    assert_nothing_is_left(scratch)
    assert tree_digest(project) == before


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("victim", ["the process that the user sees", "the one that works"])
def test_run_that_is_killed_leaves_nothing(tmp_path: Path, scratch: Path, victim: str) -> None:
    """No mount, no process, no folder, and nothing of libfaketime's in shared memory."""
    mark = tmp_path / "building"
    project = make(
        tmp_path / "project", f'[ "$$TZ" = GMT+12 ] || {{ touch {mark}; setsid sleep 1000 & sleep 1000; }}; echo >out'
    )
    words = [sys.executable, "-m", "buildplug", "repro", str(project), "--output", "out", "--", "make"]
    with subprocess.Popen(words, env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.DEVNULL) as process:
        while not mark.exists():
            assert process.poll() is None
            time.sleep(0.05)
        assert str(scratch) in Path("/proc/mounts").read_text()
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        below = [int(worker)]
        for pid in below:
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                below += map(int, file.read_text().split())
        os.kill(process.pid if victim == "the process that the user sees" else int(worker), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while list(scratch.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert_nothing_is_left(scratch)
    assert not {path.name for pid in below for path in Path("/dev/shm").glob(f"*faketime_s*_{pid}")}


@pytest.mark.usefixtures("namespaces")
def test_build_that_is_killed_is_one_line(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "sleep 1000 & kill -9 $$PPID")
    done = repro(project, scratch, "--vary=time,fileordering,launcher", "--output", "out", "--", "make")
    assert done.returncode == 1
    assert "the control build: make: build failed with signal 9" in one_line(done.stderr)
    assert_nothing_is_left(scratch)


def test_what_a_build_leaves_running_is_ended(tmp_path: Path, scratch: Path) -> None:
    """In a session of its own, and with the build's output in hand."""
    project = make(tmp_path / "project", "(setsid sleep 1000 &); echo >out")
    done = repro(project, scratch, "--output", "out", "--", "make")
    assert done.returncode == 0, done.stderr
    assert_nothing_is_left(scratch)


@pytest.mark.usefixtures("namespaces")
def test_project_that_may_not_be_written_to(tmp_path: Path, scratch: Path) -> None:
    """By a user who is not root: its copies are built and go."""
    project = make(tmp_path / "project", "echo >out")
    (project / "folder").mkdir()
    (project / "folder" / "file").touch()
    for path in (project / "folder", project):
        path.chmod(0o555)
    before = tree_digest(project)
    words = ["repro", str(project), "--vary=-all,umask", "--output", "out", "--", "make"]
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "buildplug", *words], env=os.environ | {"TMPDIR": str(scratch)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tree_digest(project) == before
    assert_nothing_is_left(scratch)


@pytest.mark.parametrize("name", ["two wörds [x]*", "-f"])
def test_project_of_any_name(tmp_path: Path, scratch: Path, name: str) -> None:
    make(tmp_path / name, "echo >out")
    (tmp_path / "link").symlink_to(tmp_path / name)
    done = repro(tmp_path / "link", scratch, "--output", "out", "--", "make")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            "mkdir out; ln -s $$TZ out/link; ln -s loop out/loop",
            "out/link -> GMT+12: expected in every build, found only in the control",
        ),
        ("echo $$TZ >real; ln -s real out", "out: expected the same bytes from every build"),
        ("ln -s /etc/hostname out", "out: expected a file of the project, found a link to /etc/hostname"),
        ("ln -s nowhere out", "out: expected an output of that name, found none"),
        ("mkfifo out", "out: expected an output of that name, found none"),
    ],
)
def test_output_that_is_no_plain_file(tmp_path: Path, scratch: Path, recipe: str, said: str) -> None:
    project = make(tmp_path / "project", recipe)
    done = repro(project, scratch, "--vary=-all,timezone", "--output", "out", "--", "make", "-s")
    assert done.returncode == 1
    assert said in one_line(done.stderr)


LISTENERS = """\
import os, pathlib
sockets = set()
for link in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
    try:
        if os.environ["TMPDIR"].encode() in (link.parent.parent / "environ").read_bytes():
            sockets.add(os.readlink(link))
    except OSError:
        pass
lines = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}")]
print([words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in sockets])
"""


@pytest.mark.usefixtures("namespaces")
def test_no_port_is_open_while_distcc_compiles(tmp_path: Path, scratch: Path) -> None:
    """Any user of the machine could connect, and have a program run."""
    project = make(tmp_path / "project", "gcc -c a.c -o a.o && TMPDIR=$$(dirname $$TMPDIR) python3 listeners.py >out")
    (project / "a.c").write_text("int a;\n")
    (project / "listeners.py").write_text(LISTENERS)
    found = result(project, scratch, "--vary=-all,launcher", "--output", "out", "--", "make", "-s")
    assert found["outputs"] == {"out": hashlib.sha256(b"[]\n").hexdigest()}
    assert found["reproducible"]
    (verdict,) = found["variations"]
    assert verdict["note"] == "1 compilations by distccd"
