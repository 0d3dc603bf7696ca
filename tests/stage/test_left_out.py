"""Symbols of kinds that are easily lost: kept in the table, or counted in a line."""

from pathlib import Path

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.select.rows import columns_of
from tests.conftest import tool
from tests.samples import buildplug

LDS = "ENTRY(_start) SECTIONS { . = 0x100000; .text : { _text = .; *(.text) _etext = .; } .data : { *(.data) } }"
TYPED = """
.text; .globl _start, ifunc, unique; .type _start, @function; .type ifunc, @gnu_indirect_function
_start: nop; call _start; .size _start, . - _start
ifunc: ret; .size ifunc, . - ifunc
.data; .type unique, @gnu_unique_object; unique: .quad 1; .size unique, 8
.section .note.GNU-stack, "", @progbits
"""
LABELS = (
    ".text; .globl trap, also, same; trap: nop; also: nop; local: nop; .type f, @function; f: same: nop; .size f, 1\n"
)
THREADS = '.section .tdata, "awT"; .globl mine; .type mine, @object; mine: .quad 1; .size mine, 8\n'


def link(folder: Path, rule: str, code: str) -> list[str]:
    """Links k.elf with a table; the lines on stderr that are ours."""
    (folder / "k.S").write_text(code)
    (folder / "k.lds").write_text(LDS)
    (folder / "buildplug.toml").write_text(f'[kernel]\nname = "k.elf"\n[[table]]\nrule = "{rule}"\n')
    tool("gcc", "-c", "k.S", cwd=folder)
    done = buildplug("ld", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=folder)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("buildplug: ")]


def test_ifunc_and_unique_symbols_are_kept(tmp_path: Path) -> None:
    assert link(tmp_path, "ksyms", TYPED) == []
    listed = buildplug("ksyms", "k.elf", cwd=tmp_path).stdout.splitlines()
    assert {line.partition(" ")[2] for line in listed} >= {"i ifunc", "u unique", "T _start"}


def test_ifunc_symbols_are_functions(tmp_path: Path) -> None:
    assert link(tmp_path, "functions", TYPED) == []
    columns, _ = columns_of(Image(tmp_path / "k.elf"), find("functions", tmp_path))
    assert columns["name"].tolist() == ["_start", "ifunc"]


def test_entry_points_without_a_type_are_counted(tmp_path: Path) -> None:
    said = link(tmp_path, "functions", TYPED + LABELS)
    assert len(said) == 1
    assert said[0].startswith("buildplug: warning: rule functions: left out: 2 untyped labels in code; ")


def test_thread_local_symbols_are_counted_and_labels_kept(tmp_path: Path) -> None:
    said = link(tmp_path, "ksyms", TYPED + LABELS + THREADS)
    assert len(said) == 1
    assert said[0].startswith("buildplug: warning: rule ksyms: left out: 1 thread-local symbols; ")
    names = buildplug("ksyms", "k.elf", cwd=tmp_path).stdout.split()
    assert {"trap", "also", "local", "same"} <= set(names)
