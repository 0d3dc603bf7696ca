"""Kernels with every function in a section of its own, more than the 16 bits of a section number can say."""

import re
from cProfile import Profile
from pathlib import Path

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.image.strip import drop
from buildplug.runtime.memory import memory_of
from buildplug.runtime.relocate import relocate
from buildplug.stage.proof import table_bytes, verify
from buildplug.tables.ksyms_codec import decode
from tests.conftest import tool
from tests.samples import buildplug

MANY = 66_000
FUNCTION = """
.section .fn{n}, "ax", @progbits
.globl f{n}
.type f{n}, @function
f{n}: lea f{next}(%rip), %rax
ret
.balign 8
.quad f{next}
.size f{n}, . - f{n}
"""
SCRIPT = """
ENTRY(_start)
SECTIONS { . = 0x100000; .text : { *(.text) } .rodata : { *(.rodata) } .data : { *(.data) } /DISCARD/ : { *(.note*) } }
"""
CONFIG = '[kernel]\nname = "k.elf"\n[[table]]\nrule = "ksyms"\n[[table]]\nrule = "relocs"\n'


def kernel(folder: Path, sections: int) -> None:
    """Writes and assembles a kernel of as many functions, with a script and a configuration."""
    functions = (FUNCTION.format(n=n, next=(n + 1) % sections) for n in range(sections))
    (folder / "k.S").write_text(
        f'.globl _start\n_start: ret\n{"".join(functions)}.section .note.GNU-stack, "", @progbits\n'
    )
    (folder / "k.lds").write_text(SCRIPT)
    (folder / "buildplug.toml").write_text(CONFIG)
    tool("gcc", "-c", "k.S", cwd=folder)


def functions(image: Path) -> dict[str, int]:
    """The global functions of an image and their addresses, as nm prints them."""
    lines = [line.split() for line in tool("nm", image).splitlines()]
    return {name: int(address, 16) for address, kind, name in lines if kind == "T"}


def linked(folder: Path, *options: str) -> Path:
    """Links the kernel with tables, and plainly as plain.elf."""
    words = ("-T", "k.lds", "--no-warn-rwx-segments", *options)
    done = buildplug("ld", *words, "-o", "k.elf", "k.o", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    tool("ld", *words, "--emit-relocs", "-o", "plain.elf", "k.o", cwd=folder)
    return folder / "k.elf"


def test_tables_of_66_000_sections_are_true(tmp_path: Path) -> None:
    kernel(tmp_path, MANY)
    image = Image(linked(tmp_path))
    theirs = functions(image.path)
    assert len(theirs) == MANY + 1
    assert theirs == functions(tmp_path / "plain.elf")

    at, data = table_bytes(image, find("ksyms", tmp_path))
    ksyms = decode(data, image.arch, image.path)
    bases = at + ksyms.bases.astype("i8")[ksyms.rows["section"]]
    addresses = (bases + ksyms.rows["offset"].astype("i8")).tolist()
    ours = dict(zip([name.decode() for name in ksyms.names], addresses, strict=True))
    assert {name: address for name, address in ours.items() if name in theirs} == theirs

    slide, places = 0x1000000, [address + 8 for name, address in theirs.items() if name != "_start"]
    memory, start, end = memory_of(image, slide)
    before = [int.from_bytes(memory.read(place + slide, 8), "little") for place in places]
    table = (image.address_of("bp_relocs") or 0) + slide
    assert relocate(image.arch, memory, table, start, end, slide).error == "ok"
    after = [int.from_bytes(memory.read(place + slide, 8), "little") for place in places]
    assert after == [address + slide for address in before]


def test_extended_numbering_ends_where_the_relocations_are_removed(tmp_path: Path) -> None:
    kernel(tmp_path, 33_000)  # with as many sections of relocations
    tool("ld", "-T", "k.lds", "--no-warn-rwx-segments", "--emit-relocs", "-o", "k.elf", "k.o", cwd=tmp_path)
    tool("ld", "-T", "k.lds", "--no-warn-rwx-segments", "-o", "plain.elf", "k.o", cwd=tmp_path)
    assert ".symtab_shndx" in tool("readelf", "-SW", tmp_path / "k.elf")
    drop(tmp_path / "k.elf", tmp_path / "k.elf")
    said = tool("readelf", "-hSW", tmp_path / "k.elf")
    assert ".symtab_shndx" not in said
    assert len(re.findall(r"\] \.fn\d", said)) == 33_000
    assert functions(tmp_path / "k.elf") == functions(tmp_path / "plain.elf")


def calls(folder: Path, sections: int) -> int:
    """The number of calls in the proof of a kernel with so many sections, and in the removal of its relocations."""
    folder.mkdir()
    kernel(folder, sections)
    linked(folder, "--emit-relocs")
    rules = [(find(name, folder), None) for name in ("ksyms", "relocs")]
    with Profile() as profile:
        verify(Image(folder / "k.elf"), Image(folder / "k.elf"), rules)
        drop(folder / "k.elf", folder / "k.elf")
    return sum(entry.callcount for entry in profile.getstats())


def test_calls_grow_with_the_number_of_sections_and_not_faster(tmp_path: Path) -> None:
    calls(tmp_path / "first", 10)  # imports what is imported when it is needed
    assert calls(tmp_path / "more", 4_000) < 2 * calls(tmp_path / "few", 2_000)
