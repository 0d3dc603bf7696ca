"""Compilers are called so that they compile for the architecture; the headers of their objects say it."""

import struct
from pathlib import Path

import pytest

from buildplug.arch import compilers
from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES, SYMBOLS_ONLY, by_header
from tests.conftest import tool

ALL = [*ARCHES.values(), *SYMBOLS_ONLY.values()]


def assembled_for(folder: Path, *command: str) -> str:
    """The name of the architecture of the object that the compiler makes."""
    (folder / "empty.S").write_text("")
    tool(*command, "-c", "empty.S", "-o", "empty.o", cwd=folder)
    header = (folder / "empty.o").read_bytes()[:20]
    order = "<" if header[5] == 1 else ">"  # EI_DATA (gABI, chapter 4)
    (machine,) = struct.unpack_from(f"{order}H", header, 18)
    return by_header(machine, 32 * header[4], order).name


@pytest.mark.parametrize("arch", ALL, ids=lambda arch: arch.name)
@pytest.mark.parametrize("machine", ["x86_64", "another"])
def test_clang_compiles_for_any_on_any_machine(tmp_path: Path, arch: Arch, machine: str) -> None:
    assert assembled_for(tmp_path, "clang-19", *compilers.flags(arch, "clang-19", machine)) == arch.name


@pytest.mark.parametrize("arch", [ARCHES["x86_64"], ARCHES["i386"]], ids=["x86_64", "i386"])
def test_the_compiler_of_this_machine_compiles_for_both_of_x86(tmp_path: Path, arch: Arch) -> None:
    cc = compilers.program(arch, "gcc", "x86_64")
    assert cc == "gcc"
    assert assembled_for(tmp_path, cc, *compilers.flags(arch, cc, "x86_64")) == arch.name


def test_the_compiler_is_a_cross_compiler_on_another_machine(tmp_path: Path) -> None:
    cc = compilers.program(ARCHES["x86_64"], "cc", "aarch64")
    assert assembled_for(tmp_path, cc, *compilers.flags(ARCHES["x86_64"], cc, "aarch64")) == "x86_64"


@pytest.mark.parametrize("cc", ["riscv64-linux-gnu-gcc", "/opt/cc", "./gcc", "clang"])
def test_a_compiler_of_the_users_own_stays(cc: str) -> None:
    assert compilers.program(ARCHES["riscv64"], cc, "x86_64") == cc
