"""Real Linux, its build by our stage killed at each step: what that leaves, and what the next build makes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildplug.linux.versions import SCRIPT
from tests import linux_image
from tests.conftest import small_linux
from tests.linux.conftest import folder
from tests.linux_image import FIXED
from tests.samples import buildplug

pytestmark = [pytest.mark.linux, pytest.mark.slow, pytest.mark.usefixtures("heeded")]
LINUX = linux_image.LONG_TERM
MARK = "BUILDPLUG_KILLED"  # in the environment of all that a build starts
MADE = ("vmlinux", "System.map", SCRIPT)
PATIENCE = 30.0  # seconds until a step is there, and until all has ended
# A linker that stops in the link of the kernel where a test asks for that.
LINKER = """#!/bin/sh
case "$*" in *link/vmlinux) if [ -e "{0}/stops" ]; then : >"{0}/at-link"; exec sleep 100; fi;; esac
exec {1} "$@"
"""


@dataclass(frozen=True)
class Tree:
    """A copy of the cached tree, in a folder with a linker of ours. made: the contents that MADE are to have."""

    root: Path
    made: tuple[bytes, ...]

    @property
    def contents(self) -> tuple[bytes, ...]:
        return tuple((self.root / name).read_bytes() for name in MADE)

    @property
    def scratch(self) -> list[Path]:
        """What our stage has for the time of a link."""
        return [*self.root.glob(".*buildplug-tmp")]

    @property
    def processes(self) -> list[int]:
        """All that a build has started, and that has not ended."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.root}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
            except OSError:  # it has ended
                continue
        return found

    @property
    def path(self) -> str:
        return f"{self.root.parent}:{os.environ['PATH']}"

    def build(self) -> "subprocess.CompletedProcess[str]":
        return buildplug("kbuild", self.root, "--", *FIXED, "vmlinux", env={"PATH": self.path})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with folder(tmp_path_factory) as made:
        root = linux_image.copy(small_linux(LINUX).parent, made / "linux")
        before = (root / SCRIPT).read_bytes()
        (made / "ld").write_text(LINKER.format(made, "/usr/bin/ld"))
        (made / "ld").chmod(0o755)
        tree = Tree(root, ())
        done = tree.build()
        assert done.returncode == 0, done.stdout + done.stderr
        assert tree.contents[-1] == before
        yield Tree(root, tree.contents)


def steps(tree: Tree, step: str, before: list[int]) -> Iterator[Path]:
    """What exists from a step on; `before` has the kernel of the last build, if there is one."""
    if step == "begun":
        yield from [tree.root] * (not (tree.root / ".vmlinux.cmd").exists())
    elif step == "in the link":
        yield from tree.root.parent.glob("at-link")
    elif step == "linked":
        yield from tree.root.glob(".vmlinux.*/vmlinux.draft")
    elif step == "filled":
        yield from tree.root.glob(".vmlinux.*/vmlinux.relinked")
    else:
        yield from (path for path in tree.root.glob("vmlinux") if path.stat().st_ino not in before)


STEPS = ("begun", "in the link", "linked", "filled", "in its place")


def kill(tree: Tree, step: str, victim: str) -> None:
    """Starts a build and kills it at a step of it."""
    (tree.root.parent / "at-link").unlink(missing_ok=True)
    if step == "in the link":
        (tree.root.parent / "stops").touch()
    (tree.root / ".vmlinux.cmd").write_text("")  # so that make links
    before = [path.stat().st_ino for path in tree.root.glob("vmlinux")]
    command = [sys.executable, "-m", "buildplug", "kbuild", str(tree.root), "--", *FIXED, "vmlinux"]
    with subprocess.Popen(
        command, env=os.environ | {"PATH": tree.path, MARK: str(tree.root)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not any(steps(tree, step, before)):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.001)
        if victim == "all":
            for number in (signal.SIGSTOP, signal.SIGKILL):  # at once: none sees another's death
                for pid in tree.processes:
                    os.kill(pid, number)
        else:
            os.killpg(process.pid, signal.Signals[victim])
        process.wait()
    (tree.root.parent / "stops").unlink(missing_ok=True)
    assert process.returncode
    while tree.processes:
        assert time.monotonic() < deadline + PATIENCE
        time.sleep(0.01)


@pytest.mark.parametrize("victim", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("step", STEPS)
def test_a_build_that_is_killed_leaves_the_tree_as_it_was(tree: Tree, step: str, victim: str) -> None:
    """Of a SIGKILL the child that does the work hears."""
    kill(tree, step, victim)
    assert tree.scratch == []
    assert (tree.root / SCRIPT).read_bytes() == tree.made[-1]


@pytest.mark.parametrize("victim", ["all", "SIGTERM"])
@pytest.mark.parametrize("step", STEPS)
def test_the_next_build_makes_what_one_that_was_not_killed_does(tree: Tree, step: str, victim: str) -> None:
    kill(tree, step, victim)
    assert (tree.root / SCRIPT).read_bytes() == tree.made[-1]
    done = tree.build()
    assert done.returncode == 0, done.stderr
    assert tree.scratch == []
    assert tree.contents == tree.made


def test_what_a_kill_of_all_processes_leaves_is_taken_out_of_the_tree(tree: Tree) -> None:
    kill(tree, "filled", "all")
    assert tree.scratch
    assert buildplug("kbuild", "--revert", tree.root).returncode == 0
    assert tree.scratch == []
    assert (tree.root / SCRIPT).read_bytes() == tree.made[-1]
