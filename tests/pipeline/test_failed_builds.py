"""Builds that fail or are killed: nothing is lost."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.pipeline.doit_tasks import PASSES
from tests.samples import buildplug, built, edit, one_line

pytestmark = pytest.mark.usefixtures("heeded")


def test_build_leaves_files_of_others_alone(kernel: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / ".mine.tmp").write_text("precious")
    built(kernel, "--build-dir", tmp_path / "shared")
    assert (tmp_path / "shared" / ".mine.tmp").read_text() == "precious"


@pytest.mark.parametrize("name", PASSES)
def test_build_killed_in_a_pass_goes_on_to_the_same_image(kernel: Path, name: str, tmp_path: Path) -> None:
    expected = built(kernel, "--build-dir", tmp_path / "other")["outputs"]["vmlinux"]
    command = [sys.executable, "-m", "buildplug", "build", str(kernel), "--explain"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{name}: runs"):
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    image = kernel / "build" / "vmlinux"
    assert not image.exists() or name == "record"
    assert built(kernel)["outputs"]["vmlinux"] == expected  # its draft may have tables by now
    assert not list((kernel / "build").rglob("*.tmp"))


OUTPUTS = ("vmlinux", "vmlinux.draft", "vmlinux.buildplug.json")


def test_compile_that_fails_keeps_the_old_image(kernel: Path) -> None:
    built(kernel)
    image = kernel / "build" / "vmlinux"
    before = image.read_bytes()
    with (kernel / "serial.c").open("a") as file:
        file.write("void pv_undeclared(void); void f(void); void f(void) { pv_nowhere(); }\n")
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert "implicit declaration" in failed.stderr
    assert "compile failed" in one_line(failed.stderr)
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("kernel.lds", "kernel_start = .;", "", "link vmlinux.draft failed"),
        ("paravirt.c", ".halt = native_halt", ".halt = 0", "op halt"),
    ],
)
def test_link_or_pass_that_fails_leaves_no_image(kernel: Path, name: str, old: str, new: str, problem: str) -> None:
    """A record of an image that is not there would be as false as an old image."""
    built(kernel)
    before = (kernel / "build" / "vmlinux").read_bytes()
    text = (kernel / name).read_text()
    edit(kernel / name, (old, new))
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert problem in one_line(failed.stderr)
    assert not any((kernel / "build" / output).exists() for output in OUTPUTS)
    (kernel / name).write_text(text)
    built(kernel)
    assert (kernel / "build" / "vmlinux").read_bytes() == before


def test_full_disk_is_one_line_and_keeps_the_old_image(kernel: Path) -> None:
    built(kernel)
    image = kernel / "build" / "vmlinux"
    before = image.read_bytes()
    os.utime(kernel / "main.c")
    limited = subprocess.run(
        [sys.executable, "-m", "buildplug", "build", kernel], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert limited.returncode == 1
    one_line(limited.stderr)
    assert image.read_bytes() == before
    built(kernel)
    assert image.read_bytes() == before


def test_nothing_is_written_outside_the_build_directory(kernel: Path) -> None:
    before = sorted(p for p in kernel.rglob("*"))
    built(kernel, cwd=kernel.parent)
    assert sorted(p for p in kernel.rglob("*") if not p.is_relative_to(kernel / "build")) == before
    assert sorted(kernel.parent.iterdir()) == [kernel]


def test_two_builds_at_once_do_not_mix(kernel: Path) -> None:
    command = [sys.executable, "-m", "buildplug", "build", str(kernel)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    build = kernel / "build"
    assert buildplug("verify", build / "vmlinux.draft", build / "vmlinux").returncode == 0
