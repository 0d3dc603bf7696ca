"""Tables without rows: a warning in every way in, or an error if the table is required."""

from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug

TOML = '[kernel]\nname = "k.elf"\n[compile]\nsources = ["k.c", "m.S"]\ncflags = {flags}\n[link]\nscript = "k.lds"\n'
TABLE = '[[table]]\nrule = "calls"\n'
SECTIONS = ".text : { *(.text .text.*) } .rodata : { *(.rodata) } .data : { *(.data) }"
SOURCE = """
extern const char __fentry__[];
int f(int x) { return (int)(long)&f + x + *(int *)0x10; }
int _start(void) { return f(2); }
"""
LDS = f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SECTIONS} }}"
FLAGS = ["-O2", "-ffreestanding", "-fno-pie", "-fno-asynchronous-unwind-tables"]


def kernel(folder: Path, *flags: str, required: bool = False) -> Path:
    (folder / "k.c").write_text(SOURCE)
    (folder / "m.S").write_text('.globl __fentry__\n__fentry__: ret\n.section .note.GNU-stack,"",@progbits\n')
    (folder / "k.lds").write_text(LDS)
    toml = TOML.format(flags=[*FLAGS, *flags]) + TABLE + "required = true\n" * required
    (folder / "buildplug.toml").write_text(toml.replace("'", '"'))
    return folder


def run(folder: Path, command: str, *flags: str) -> tuple[int, list[str]]:
    """The status, and the lines on stderr that are ours."""
    if command == "build":
        done = buildplug("build", cwd=folder)
    else:
        tool("gcc", *FLAGS, *flags, "-c", "k.c", "m.S", cwd=folder)
        done = buildplug("ld", "-T", "k.lds", "-o", "k.elf", "k.o", "m.o", cwd=folder)
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("buildplug: ")]


CASES = {
    ("-mcmodel=large", "-pg", "-mfentry"): "the table is empty: expected references, found 0 (left alone: 2 ",
    ("-pg", "-mfentry", "-mnop-mcount"): "the table is empty: expected references, found 0; ",
    ("-fpatchable-function-entry=5",): "the table is empty: expected references, found 0; ",
}


@pytest.mark.parametrize("command", ["build", "ld"])
@pytest.mark.parametrize("flags", CASES, ids="".join)
def test_an_empty_table_is_a_warning_with_counts(tmp_path: Path, flags: tuple[str, ...], command: str) -> None:
    status, said = run(kernel(tmp_path, *flags), command, *flags)
    assert status == 0
    assert len(said) == 1
    assert said[0].startswith(f"buildplug: warning: rule calls: {CASES[flags]}")


@pytest.mark.parametrize("command", ["build", "ld"])
def test_a_required_table_that_is_empty_is_an_error(tmp_path: Path, command: str) -> None:
    flags = ("-mcmodel=large", "-pg", "-mfentry")
    status, said = run(kernel(tmp_path, *flags, required=True), command, *flags)
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith("buildplug: rule calls: the table is empty: expected references, found 0 (left alone: 2 ")


@pytest.mark.parametrize("command", ["build", "ld"])
def test_a_table_with_rows_is_no_warning(tmp_path: Path, command: str) -> None:
    flags = ("-pg", "-mfentry")
    assert run(kernel(tmp_path, *flags, required=True), command, *flags) == (0, [])
