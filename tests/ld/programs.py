"""A program that reads its own table, linked by the wrapper, and what readelf says of it."""

import re
import subprocess
from pathlib import Path

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.samples import buildplug

LINKERS = ("ld", "ld.lld", "ld.lld-19", "mold")

# Exits with the number of its functions, if its table has each of three by name.
PROGRAM = """
struct row { int address; unsigned size; int name; };
extern const struct { unsigned rows, row_size; struct row row[]; } bp_functions;

__attribute__((noinline)) int first(int n) { __asm__ volatile(""); return n + 1; }
__attribute__((noinline)) int second(int n) { return first(n) * 2; }

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static int has(const void *function, const char *name)
{
    for (unsigned i = 0; i < bp_functions.rows; i++) {
        const struct row *row = &bp_functions.row[i];
        if ((const char *)&row->address + row->address == (const char *)function)
            return same((const char *)&row->name + row->name, name);
    }
    return 0;
}

void run(void)
{
    int found = has((void *)first, "first") && has((void *)second, "second") && has((void *)run, "run");
    long status = found && second(3) == 8 ? bp_functions.rows : 255;
    __asm__ volatile("syscall" : : "a"(60L), "D"(status));
    __builtin_unreachable();
}
"""
START = """
.globl _start
.type _start, @function
_start: and $-16, %rsp; call run
.size _start, . - _start
.section .note.GNU-stack, "", @progbits
"""
SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x400000 + SIZEOF_HEADERS;
    .text : ALIGN(4096) { *(.text .text.*) }
    .rodata : ALIGN(4096) { *(.rodata .rodata.*) }
    .data : ALIGN(4096) { *(.data .data.*) }
}
"""
CONFIG = '[kernel]\nname = "prog"\n[toolchain]\ncc = "gcc"\n[[table]]\nrule = "functions"\n'
INPUTS = ("start.o", "program.o")


def ld(
    work: Path, *words: str | Path, linker: str = "ld", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return buildplug("ld", "--config", "buildplug.toml", "--ld", linker, *words, cwd=work, env=env)


def linked(work: Path, *words: str | Path, linker: str = "ld", env: dict[str, str] | None = None) -> Path:
    """Links `prog`; the test fails if that fails, or if anything is left behind."""
    before = {*work.iterdir()}
    done = ld(work, *words, "-o", "prog", linker=linker, env=env)
    assert done.returncode == 0, done.stderr
    assert {*work.iterdir()} - before <= {work / "prog", work / "map", work / "depfile"}
    return work / "prog"


def functions(program: Path) -> int:
    """The number of a program's functions, by readelf; of those that are in what is loaded."""
    said = tool("readelf", "-sW", program)
    kinds = " FUNC ", " IFUNC ", " <OS specific>: 10 "  # the last: an IFUNC by a linker that marks no GNU ABI
    listed = [line for line in said.splitlines() if any(kind in line for kind in kinds) and " UND " not in line]
    addresses = [int(line.split()[1], 16) for line in listed]
    found = re.findall(r"LOAD +0x\w+ 0x(\w+) 0x\w+ 0x\w+ 0x(\w+)", tool("readelf", "-lW", program))
    loaded = [(int(start, 16), int(size, 16)) for start, size in found]
    return sum(any(0 <= address - start < size for start, size in loaded) for address in addresses)


def rows(program: Path) -> int:
    """The number of rows that the program's table says it has: its first word."""
    image = Image(program)
    section = image.section(".bp_functions")
    return int.from_bytes(image.bytes_of(section)[:4].tobytes(), "little")


def finds_its_functions(program: Path) -> bool:
    return subprocess.run([program.absolute()], check=False).returncode == functions(program)


def section_names(program: Path) -> list[str]:
    """The sections of a program that are not empty, by readelf."""
    rows = [line.partition("] ")[2].split() for line in tool("readelf", "-SW", program).splitlines() if "] " in line]
    return [row[0] for row in rows if len(row) > 4 and row[4].strip("0")]


def linked_by(driver: str, linker: str, work: Path, *words: str) -> Path:
    """Links `prog` by a compiler driver, whose words may have {dir}: that of our `ld`."""
    assert buildplug("ld", "--into", "a dir", "--config", "buildplug.toml", "--ld", linker, cwd=work).returncode == 0
    tool(*(word.format(dir=work / "a dir") for word in driver.split()), *words, "-o", "prog", cwd=work)
    return work / "prog"
