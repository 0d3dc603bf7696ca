"""Kernels in the styles of those that nobody here wrote, each by its own build: with and without tables."""

import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sample_kernel.boot import EXIT_OK, boot
from tests.conftest import tool

FOLDER = Path(__file__).parent.parent / "foreign_kernels"
STYLES = sorted(path.name for path in FOLDER.iterdir() if path.name != "common")
MOVED = {"pie": 0x1000000 - 0x200000}  # by the kernel itself


def make(folder: Path, makefile: str) -> str:
    """Builds, and boots; returns what the kernel prints."""
    program = folder / "bin" / "buildplug"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m buildplug "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "-s", "-f", makefile], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    status, output = boot(folder / "kernel.elf", "")
    assert status == EXIT_OK, output
    return output


@pytest.fixture
def kernel(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the kernel in one of the styles."""
    style: str = request.param
    for name in ("common", style):
        shutil.copytree(FOLDER / name, tmp_path / name)
    return tmp_path / style


def functions(image: Path) -> list[tuple[int, str]]:
    """Of nm -C: address and name of what is in code, ascending."""
    listed = subprocess.run(["nm", "-nC", image], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^([0-9a-f]+) [tTwW] (.+)$", listed, re.MULTILINE)
    return [(int(address, 16), name) for address, name in found]


def expected(image: Path, address: int) -> set[str]:
    """The names, with the offset of the call's last byte, that a backtrace may print for a return address."""
    at = max(start for start, _ in functions(image) if start < address)
    return {f"{name}+{address - 1 - at:#x}" for start, name in functions(image) if start == at}


@pytest.mark.parametrize("kernel", STYLES, indirect=True)
def test_the_kernel_boots_without_tables(kernel: Path) -> None:
    assert re.search(r"^0x[0-9a-f]{16}", make(kernel, "Makefile.before"), re.MULTILINE)


@pytest.mark.parametrize("kernel", STYLES, indirect=True)
def test_a_backtrace_has_the_names_that_nm_has(kernel: Path) -> None:
    slide = MOVED.get(kernel.name, 0)
    frames = re.findall(r"^0x([0-9a-f]{16}) (.+)/0x[0-9a-f]+$", make(kernel, "Makefile"), re.MULTILINE)
    found = {int(address, 16) - slide: name for address, name in frames}
    assert len(found) >= 2
    for address, name in found.items():
        assert name in expected(kernel / "kernel.elf", address)


@pytest.mark.parametrize("kernel", ["cplusplus"], indirect=True)
def test_what_two_objects_share_is_in_the_kernel_once_and_its_unwind_tables_are_whole(kernel: Path) -> None:
    said = make(kernel, "Makefile")
    shared = {"disk::queues()::count", "disk::Queue<int>::take() const"}
    for name in ("main.o", "disk.o", "kernel.elf"):
        listed = [line.split(" ", 2)[2] for line in tool("nm", "-C", kernel / name).splitlines()]
        assert {symbol: listed.count(symbol) for symbol in shared} == dict.fromkeys(shared, 1), name
    assert "queue: empty\n" in said  # the constructors of both counted in one variable
    records = re.findall(r" FDE .* pc=([0-9a-f]+)\.\.", tool("readelf", "-wf", kernel / "kernel.elf"))
    assert said.splitlines()[0] == "." * len(records)
    starts = dict(functions(kernel / "kernel.elf"))
    assert shared & {starts[int(address, 16)] for address in records}


@pytest.mark.parametrize("style", STYLES)
def test_three_lines_of_the_build_and_five_of_toml_are_enough(style: str) -> None:
    before, after = ((FOLDER / style / name).read_text().splitlines() for name in ("Makefile.before", "Makefile"))
    added = [line for line in difflib.ndiff(before, after) if line.startswith("+ ") and line.strip("+ ")]
    assert len([line for line in added if "kernel.elf:" not in line]) <= 3, added
    assert len((FOLDER / style / "buildplug.toml").read_text().splitlines()) <= 5
