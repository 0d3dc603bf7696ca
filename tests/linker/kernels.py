"""A kernel with tables, linked by a script, and where the sections of the image are loaded."""

import json
import re
from pathlib import Path

from buildplug.pipeline.run import build
from tests.conftest import tool

KERNEL = """
static const char words[] = "some words";
const char *volatile where = words;
volatile int count = 3;
char stack[4096];
__attribute__((noinline)) void irq_timer(void) { count++; }
__attribute__((noinline)) void irq_serial(void) { count += words[count]; }
void _start(void) { irq_timer(); irq_serial(); where++; stack[count] = 1; for (;;); }
void unused(void) { count--; }
"""
RULE = """
name = "%s"
about = "handlers"
[select]
rows = "symbols"
functions = ["irq_*"]
[table]
flags = "%s"
fields = [{ name = "handler", type = "i4", value = "address" }]
"""
CONFIG = """
[toolchain]
cc = "gcc"
ld = "%s"
[compile]
sources = ["kernel.c"]
cflags = %s
[link]
%s
[[table]]
rule = "irqs.toml"
[[table]]
rule = "hooks.toml"
%s
"""
CFLAGS = """[
    "-O2", "-ffreestanding", "-fno-pic", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
    "-ffunction-sections", "-mcmodel=kernel",
]"""
LINKERS = """
    .symtab 0 : { *(.symtab) } .strtab 0 : { *(.strtab) } .shstrtab 0 : { *(.shstrtab) } .comment 0 : { *(.comment) }
    .note.GNU-stack 0 : { *(.note.GNU-stack) } .rela : { *(.rela.*) } .got : { *(.got*) }
    .plt : { *(.plt .iplt .igot.plt) }
"""

# Sections in the order of the script, those of the linker last.
SCRIPTS = {
    "plain": """SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.*) }
        .rodata : { *(.rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "segments": """
    PHDRS { text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6); note PT_NOTE FLAGS(4); }
    SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.*) } :text
        .rodata : ALIGN(4096) { *(.rodata .rodata.*) LONG(4) LONG(0) LONG(1) LONG(0x554e47) } :rodata :note
        .data : ALIGN(4096) { *(.data .data.*) } :data
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "regions": """
    MEMORY { rom (rx) : ORIGIN = 0x1000000, LENGTH = 1M  ram (rw) : ORIGIN = 0x2000000, LENGTH = 1M }
    SECTIONS {
        .text : { *(.text .text.*) } > rom
        .rodata : { *(.rodata .rodata.*) } > rom
        .data : { data_start = .; *(.data .data.*) } > ram AT> rom
        .bss (NOLOAD) : { *(.bss .bss.*) *(COMMON) } > ram
    }""",
    "high half": """
    BASE = 0xffffffff80000000;
    SECTIONS {
        . = BASE + 0x100000;
        .text : AT(ADDR(.text) - BASE) { *(.text .text.*) }
        .rodata ALIGN(4096) : AT(ADDR(.rodata) - BASE) { *(.rodata .rodata.*) }
        .data ALIGN(4096) : AT(ADDR(.data) - BASE) { *(.data .data.*) }
        .bss : AT(ADDR(.bss) - BASE) { *(.bss .bss.*) *(COMMON) }
    }""",
    "discards": """
    ENTRY(_start)
    SECTIONS {
        . = 0x1000000;
        /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
        .text : { *(.text .text.*) . = ALIGN(. * 1, 16); }
        .rodata : { *(.rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
        ASSERT(SIZEOF(.text) > 0, "no { text : }")
        /DISCARD/ : { *(.b*) *(.i*) }
    }""",
    "no read-only data": """SECTIONS {
        . = 0x1000000;
        .text : { *(.text .text.* .rodata .rodata.*) }
        .data : { *(.data .data.*) }
        .bss : { *(.bss .bss.*) *(COMMON) }
    }""",
    "included": "INCLUDE rest.lds",
}
SCRIPTS = {name: re.sub(r"}\s*$", f"{LINKERS}}}", text) for name, text in SCRIPTS.items()}
FLAGS = {"garbage": ["--gc-sections"], "no orphans": ["--orphan-handling=error"], "script": []}


def kernel(
    folder: Path, ld: str, script: str, flags: list[str], link: str = "", table: str = "", *, cflags: str = CFLAGS,
    code: str = KERNEL,
) -> Path:  # fmt: skip
    """A kernel with a table that is only read and one that is written to, which nothing in it refers to."""
    link += f"\nflags = {json.dumps(['-e', '_start', *flags])}"
    if script:
        link += '\nscript = "kernel.lds"'
        (folder / "kernel.lds").write_text(script)
        (folder / "rest.lds").write_text(SCRIPTS["plain"])
    (folder / "kernel.c").write_text(code)
    for name, kind in (("irqs", "a"), ("hooks", "aw")):
        (folder / f"{name}.toml").write_text(RULE % (name, kind))
    (folder / "buildplug.toml").write_text(CONFIG % (ld, cflags, link, table))
    build(folder, None, None)
    return folder / "build" / "vmlinux"


def mapping(image: Path) -> dict[str, list[str]]:
    """Section -> the type and flags of each segment that holds it, as readelf says."""
    said = tool("readelf", "-lW", image)
    segments = [
        f"{m[1]} {m[2].replace(' ', '')}" for m in re.finditer(r"^  (\w+) +(?:0x\w+ ){5}(...) +\w+$", said, re.M)
    ]
    found: dict[str, list[str]] = {}
    for number, names in re.findall(r"^   (\d\d) +(.*)$", said, re.M):
        for name in names.split():
            found.setdefault(name, []).append(segments[int(number)])
    return found


def plain(folder: Path, ld: str, script: str, flags: list[str]) -> dict[str, list[str]]:
    """The mapping of the same link as it would be without buildplug."""
    scripts = ["-T", "kernel.lds"] if script else []
    tool(ld, "-e", "_start", *flags, *scripts, "build/obj/kernel.c.o", "-o", "plain", cwd=folder)
    return mapping(folder / "plain")


def loaded_at(image: Path, symbol: str) -> tuple[int, int]:
    """Address and load address of a symbol, as nm and readelf say."""
    at = next(int(line.split()[0], 16) for line in tool("nm", image).splitlines() if line.endswith(f" {symbol}"))
    rows = re.findall(r"^  LOAD +0x\w+ 0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", tool("readelf", "-lW", image), re.M)
    segments = [tuple(int(text, 16) for text in row) for row in rows]
    return at, next(at - start + load for start, load, size in segments if start <= at < start + size)
