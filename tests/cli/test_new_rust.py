"""`buildplug new --rust`: a kernel that Cargo builds, and its backtrace beside nm and objdump."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.ld.crates import cargo
from tests.samples import buildplug, edit

TARGETS = {"aarch64": "aarch64-unknown-none-softfloat", "riscv64": "riscv64gc-unknown-none-elf"}
CALLERS = ["kernel::start_drivers", "kernel::kernel_main", "main", "long_mode"]
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # with buildplug and buildplug-ld


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    done = buildplug("new", "a kernel", "--rust", cwd=tmp_path)
    assert done.stdout.splitlines()[1] == "  make -C 'a kernel' run"
    return tmp_path / "a kernel"


def booted(kernel: Path) -> str:
    """What the kernel prints after it was built and booted by its Makefile."""
    done = subprocess.run(
        ["make", "-s", "run"], cwd=kernel, env=os.environ | {"PATH": PATH, "CARGO_NET_OFFLINE": "true"}, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def returns(image: Path) -> set[int]:
    """The addresses after the calls in an image, by objdump."""
    lines = tool("objdump", "-d", "-w", image).splitlines()
    calls = [re.match(r" *(\w+):\t((?:\w\w )+) *\t(?:\w+ )*l?call", line) for line in lines]
    return {int(call[1], 16) + len(call[2].split()) for call in calls if call}


@pytest.mark.parametrize("level", [1, 3])
def test_a_new_kernel_in_rust_panics_with_a_backtrace_of_its_symbols(kernel: Path, level: int) -> None:
    edit(kernel / "Cargo.toml", ("opt-level = 1", f"opt-level = {level}"))
    said = booted(kernel)
    assert said.startswith("hello\nstarting drivers\npanicked at ")
    lines = said.splitlines()
    trace = [row for line in lines if (row := re.fullmatch(r"  (\S.*)\+0x(\w+)/0x(\w+)", line))]
    assert len(trace) == sum(line.startswith("  ") for line in lines)
    assert [row[1] for row in trace][-4:] == CALLERS
    image = kernel / "target" / "x86_64-unknown-linux-gnu" / "debug" / "kernel"
    rows = re.findall(r"^(\w+) (\w+) \w (.*)$", tool("nm", "-C", "-S", image), re.MULTILINE)
    listed = {name: (int(address, 16), int(size, 16)) for address, size, name in rows}
    assert [listed[row[1]][1] for row in trace] == [int(row[3], 16) for row in trace]
    assert {listed[row[1]][0] + int(row[2], 16) + 1 for row in trace} <= returns(image)


@pytest.mark.parametrize("arch", TARGETS)
def test_a_new_kernel_in_rust_for_another_machine_panics_with_the_names_of_nm(tmp_path: Path, arch: str) -> None:
    libraries = Path(tool("rustc", "--print", "target-libdir", "--target", TARGETS[arch]).strip())
    if not [*libraries.glob("libcore*.rlib")]:
        pytest.skip(f"no core for {TARGETS[arch]}: `rustup target add` it")
    assert buildplug("new", tmp_path / "kernel", "--rust", "--arch", arch).returncode == 0
    said = booted(tmp_path / "kernel").partition("starting drivers\n")[2]
    trace = re.findall(r"^  (\S.*)\+0x(\w+)/0x(\w+)$", said, re.MULTILINE)
    assert [name for name, _, _ in trace][-4:] == [*CALLERS[:-1], "start"]
    image = tmp_path / "kernel" / "target" / TARGETS[arch] / "debug" / "kernel"
    sizes = {
        name: size for size, name in re.findall(r"^\w+ (\w+) \w (.*)$", tool("nm", "-C", "-S", image), re.MULTILINE)
    }
    assert [int(sizes[name], 16) for name, _, _ in trace] == [int(size, 16) for _, _, size in trace]
    assert all(int(offset, 16) < int(size, 16) for _, offset, size in trace)


def test_second_build_of_a_kernel_in_rust_has_nothing_to_do(kernel: Path) -> None:
    cargo(kernel, "build", PATH=PATH)
    assert "Compiling" not in cargo(kernel, "build", PATH=PATH).stderr


def test_clippy_has_nothing_to_say_of_a_kernel_in_rust(kernel: Path) -> None:
    cargo(kernel, "clippy", "--", "-D", "warnings", PATH=PATH)


def test_all_that_a_build_writes_is_in_the_target_folder(kernel: Path) -> None:
    before = {path for path in kernel.rglob("*") if path.is_file()}
    booted(kernel)
    after = {path for path in kernel.rglob("*") if path.is_file() and "target" not in path.relative_to(kernel).parts}
    assert after - before == {kernel / "Cargo.lock"}


@pytest.mark.parametrize("words", [("--arch", "i386"), ("--full",)])
def test_a_kernel_in_rust_is_small_and_not_for_i386(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert buildplug("new", tmp_path / "kernel", "--rust", *words).returncode == 2
