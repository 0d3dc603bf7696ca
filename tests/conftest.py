"""Fixtures: programs assembled and linked for a test, and rules for them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings

from buildplug.elf import Image
from tests.elfwriter import File

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

LOW, HIGH = 0x1000000, 0xFFFFFFFF81000000  # where kernels are linked

SCRIPT = """
SECTIONS
{
    . = %#x;
    .text : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .data : { *(.data .data.*) }
    .bss : { *(.bss .bss.*) }
    /DISCARD/ : { *(.note.*) *(.comment) *(.eh_frame) }
}
"""


def tool(*words: str | Path, cwd: Path | None = None) -> str:
    """Runs a program; its output. Fails the test, with what the program said, if the program fails."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


class Link(Protocol):
    def __call__(
        self, source: str, *, base: int = LOW, ld: str = "ld", language: str = "assembler", flags: Sequence[str] = ()
    ) -> Image: ...


@pytest.fixture
def link(tmp_path: Path) -> Link:
    """Compiles a source (language: assembler, c) and links it at `base` with its relocations kept."""

    def linked(
        source: str, *, base: int = LOW, ld: str = "ld", language: str = "assembler", flags: Sequence[str] = ()
    ) -> Image:
        text, made, script, image = (tmp_path / name for name in ("in.txt", "in.o", "in.lds", "image"))
        text.write_text(source if language == "c" else f'{source}\n.section .note.GNU-stack, "", @progbits\n')
        script.write_text(SCRIPT % base)
        model = ("-mcmodel=kernel",) if base == HIGH else ()
        c = ("-O2", "-ffreestanding", "-fno-pic", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", *model)
        tool("gcc", "-x", language, *(c if language == "c" else ()), "-c", text, "-o", made)
        tool(ld, "--emit-relocs", "-e", "0", "-T", script, *flags, made, "-o", image)
        return Image(image)

    return linked


class Written(Protocol):
    def __call__(self, file: File | bytes) -> Path: ...


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The path of a file with the bytes that an ELF writer makes."""

    def write(file: File | bytes) -> Path:
        path = tmp_path / "written"
        path.write_bytes(file if isinstance(file, bytes) else file.write())
        return path

    return write
