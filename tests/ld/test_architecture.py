"""Links whose configuration names no architecture: their objects do, if they are ELF."""

from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug, one_line

KERNEL = """
extern const char bp_ksyms[] __attribute__((visibility("hidden")));
int twice(int x) { return 2 * x; }
int _start(void) { return twice(bp_ksyms[3]); }
"""
CONFIG = '[kernel]\nname = "k.elf"\n[toolchain]\ncc = "clang"\n[[table]]\nrule = "ksyms"\n'
FLAGS = ("-O1", "-ffreestanding", "-fno-pie", "-c", "k.c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "k.c").write_text(KERNEL)
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("target", ["aarch64-linux-gnu", "s390x-linux-gnu", "i386-linux-gnu"])
def test_the_first_object_says_it_to_the_cross_compiler(folder: Path, target: str) -> None:
    tool("clang-19", f"--target={target}", *FLAGS, cwd=folder)
    done = buildplug("ld", "--ld", "ld.lld-19", "-o", "k.elf", "k.o", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "twice" in buildplug("ksyms", "k.elf", cwd=folder).stdout


def test_bitcode_alone_does_not_say_it(folder: Path) -> None:
    tool("clang", "-m32", "-flto", *FLAGS, cwd=folder)
    failed = buildplug("ld", "--ld", "ld.lld", "-o", "k.elf", "k.o", cwd=folder)
    assert failed.returncode == 1
    assert "k.o: expected an ELF object that says its architecture, found LLVM bitcode" in one_line(failed.stderr)
    assert buildplug("ld", "--arch", "i386", "--ld", "ld.lld", "-o", "k.elf", "k.o", cwd=folder).returncode == 0


def test_bitcode_of_the_usual_architecture_needs_no_name(folder: Path) -> None:
    tool("clang", "-flto", *FLAGS, cwd=folder)
    assert buildplug("ld", "--ld", "ld.lld", "-o", "k.elf", "k.o", cwd=folder).returncode == 0
