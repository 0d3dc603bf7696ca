"""What a loader reads of an image is compared: each change of it is seen, and another link of the same is not."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.image.loading import changed
from buildplug.image.segments import holding, kinds
from tests.conftest import tool
from tests.elfwriter import ALLOC, File, Section

SOURCE = """
    .globl _start, other, late
_start: call other
other: ret
    .section .rodata, "a"
    .quad 0x1122334455667788
    .section .note, "a", @note
    .long 4, 4, 1
    .asciz "abc"
    .long 7
    .section .table, "a"
    .skip SIZE, 1
    .section .data, "aw"
late: .quad other
    .bss
    .skip 64
    .section .note.GNU-stack, "", @progbits
"""
SCRIPT = """
ENTRY(_start)
PHDRS {
    text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6);
    note PT_NOTE FLAGS(4); stack PT_GNU_STACK;
}
SECTIONS {
    . = 0xffffffff80100000;
    .text : AT(ADDR(.text) - 0xffffffff80000000) { *(.text) } :text
    . = ALIGN(4096);
    .rodata : { *(.rodata) } :rodata
    . = ALIGN(64);
    .table : { *(.table) }
    .eh_frame : { *(.eh_frame) }
    .note : { *(.note) } :rodata :note
    . = ALIGN(4096);
    .data : { *(.data) } :data
    .bss : { *(.bss) }
}
"""
# GNU ld begins a segment where a page lies between sections, which is so in front of .init with a larger table.
APART = """
    .globl _start
_start: ret
    .section .rodata, "RODATA"
    .quad _start
    .section .table, "TABLE"
    .skip SIZE, 1
    .section .init, "ax"
    call _start
    .section .note.GNU-stack, "", @progbits
"""
APART_SCRIPT = """
SECTIONS {
    . = 0x10000; .text : { *(.text) }
    . = ALIGN(4096); .rodata : { *(.rodata) } .table : { *(.table) }
    . = ALIGN(8192); .init : { *(.init) }
    /DISCARD/ : { *(.data) *(.bss) *(.note*) }
}
"""
FRAMES = "int g(int); int f(int x) { return g(x) + 1; } int g(int x) { return f(x) * 3; }\n"
ENTRY, FLAGS, PHOFF = 24, 48, 64
TYPE, ACCESS, OFFSET, VADDR, PADDR, FILESZ, MEMSZ, ALIGN = 0, 4, 8, 16, 24, 32, 40, 48  # in a program header
LOADS = {"text": 0, "rodata": 1, "data": 2, "note": 3, "stack": 4}


def linked(folder: Path, name: str, size: int, script: str = SCRIPT) -> Image:
    """A link with a table of a size, which moves what is behind it."""
    for file, text in (("k.S", SOURCE.replace("SIZE", str(size))), ("f.c", FRAMES), ("k.lds", script)):
        (folder / file).write_text(text)
    flags = ("-O1", "-fasynchronous-unwind-tables", "-fno-pic", "-mcmodel=kernel", "-fcf-protection=none")
    tool("gcc", *flags, "-c", "k.S", "f.c", cwd=folder)
    tool("ld", "--emit-relocs", "-T", "k.lds", "k.o", "f.o", "-o", name, cwd=folder)
    return Image(folder / name)


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Image]:
    folder = tmp_path_factory.mktemp("links")
    return linked(folder, "draft", 16), linked(folder, "final", 5000)


def put(at: int, value: int, size: int = 8) -> Callable[[bytearray], None]:
    """Overwrites a number."""

    def change(data: bytearray) -> None:
        data[at : at + size] = value.to_bytes(size, "little")

    return change


def add(at: int, value: int) -> Callable[[bytearray], None]:
    """Adds to a number of 8 bytes."""
    return lambda data: struct.pack_into("<Q", data, at, (struct.unpack_from("<Q", data, at)[0] + value) % 2**64)


def of(segment: str, field: int) -> int:
    return PHOFF + 56 * LOADS[segment] + field


def elsewhere(data: bytearray) -> None:
    """The first segment loads other bytes, behind everything else."""
    data += bytes(-len(data) % 4096)
    at = of("text", OFFSET)
    struct.pack_into("<Q", data, at, len(data))
    data += b"\xcc" * 4096


def hidden(data: bytearray) -> None:
    """A segment also loads what is behind its last section."""
    add(of("text", FILESZ), 16)(data)
    add(of("text", MEMSZ), 16)(data)


def extra(data: bytearray) -> None:
    """PT_GNU_STACK becomes a segment that loads the file's headers somewhere."""
    struct.pack_into("<IIQQQQQQ", data, of("stack", TYPE), 1, 5, 0, 0x10000, 0x10000, 64, 64, 4096)


CHANGES = {
    "segment elsewhere": elsewhere,
    "entry": add(ENTRY, 1),
    "e_flags": put(FLAGS, 1, 4),
    "e_version": put(20, 2, 4),
    "ABI": put(7, 9, 1),
    "p_type": put(of("data", TYPE), 0, 4),
    "note becomes PT_LOAD": put(of("note", TYPE), 1, 4),
    "p_flags": put(of("text", ACCESS), 7, 4),
    "p_flags beyond RWX": put(of("text", ACCESS), 0x100005, 4),
    "p_offset": add(of("data", OFFSET), 8),
    "p_offset of a note": add(of("note", OFFSET), 4),
    "p_vaddr": add(of("data", VADDR), 0x1000),
    "p_vaddr at the end of all addresses": put(of("data", VADDR), 2**64 - 4, 8),
    "p_paddr": add(of("text", PADDR), 0x1000),
    "p_paddr of a note": add(of("note", PADDR), 0x1000),
    "p_filesz": add(of("rodata", FILESZ), -8),
    "p_filesz of a note": add(of("note", FILESZ), 4),
    "p_filesz into .bss": add(of("data", FILESZ), 8),
    "p_filesz beyond the file": add(of("data", FILESZ), 1 << 40),
    "p_memsz": add(of("data", MEMSZ), 8),
    "p_memsz smaller": add(of("data", MEMSZ), -8),
    "p_memsz over the next": add(of("text", MEMSZ), 0x10000),
    "p_align": put(of("data", ALIGN), 64),
    "hidden bytes": hidden,
    "stack becomes PT_LOAD": extra,
    "stack executable": put(of("stack", ACCESS), 7, 4),
    "stack size": put(of("stack", MEMSZ), 4096),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_decides_what_is_in_memory_is_seen(links: tuple[Image, Image], name: str) -> None:
    draft, final = links
    data = bytearray(final.data)
    CHANGES[name](data)
    assert changed(draft, Image.of(final.path, bytes(data)), {".table"})


def test_a_section_at_the_end_of_all_addresses_is_in_no_segment(links: tuple[Image, Image]) -> None:
    _, final = links
    section = replace(final.section(".data"), address=2**64 - 4, size=8)
    assert not holding(final, section).any()


def test_a_link_with_a_larger_table_is_the_same(links: tuple[Image, Image]) -> None:
    draft, final = links
    assert changed(draft, final, {".table"}) == []
    found = compare(draft, final, {".table"})
    assert (found.moved, found.changed, found.unproved) == ((), (), ())


def apart(folder: Path, size: int, rodata: str, table: str) -> Image:
    text = APART.replace("SIZE", str(size)).replace("RODATA", rodata).replace("TABLE", table)
    (folder / "apart.S").write_text(text)
    (folder / "apart.lds").write_text(APART_SCRIPT)
    tool("gcc", "-c", "apart.S", cwd=folder)
    words = ("-z", "max-page-size=4096", "-z", "noseparate-code", "--no-warn-rwx-segments", "--emit-relocs")
    tool("ld", *words, "-T", "apart.lds", "apart.o", "-o", f"apart.{size}", cwd=folder)
    return Image(folder / f"apart.{size}")


def test_sections_that_come_apart_as_the_table_grows_have_the_flags_that_they_need(tmp_path: Path) -> None:
    together, between = (apart(tmp_path, size, "aw", "a") for size in (16, 5000))
    found = [[kinds(image, image.section(name)) for name in (".rodata", ".init")] for image in (together, between)]
    assert found == [["RWX", "RWX"], ["RW", "RX"]]
    assert changed(together, between, {".table"}) == changed(between, together, {".table"}) == []
    data = bytearray(between.data)
    for draft, flags, letters in ((together, 4, "R"), (together, 6, "RW"), (between, 7, "RWX")):
        put(PHOFF + 56 * 2 + ACCESS, flags, 4)(data)  # of .init
        different = changed(draft, Image.of(between.path, bytes(data)), {".table"})
        assert different == [f".init: its segments {kinds(draft, draft.section('.init'))} became {letters}"]


def test_flags_that_only_the_table_needs_are_seen(tmp_path: Path) -> None:
    together, between = (apart(tmp_path, size, "a", "aw") for size in (16, 5000))
    assert changed(between, together, {".table"}) == [".init: its segments RX became RWX"]


def test_an_entry_that_is_a_load_address_moves_as_its_section_does(tmp_path: Path) -> None:
    """That of Linux 7.3 is, and lies behind its tables."""
    script = SCRIPT.replace("ENTRY(_start)", "ENTRY(physical) physical = ABSOLUTE(late - 0xffffffff80000000);")
    draft, final = linked(tmp_path, "draft", 16, script), linked(tmp_path, "final", 5000, script)
    assert draft.header["entry"] < final.header["entry"] < draft.section(".text").address
    assert changed(draft, final, {".table"}) == []
    data = bytearray(final.data)
    add(ENTRY, 8)(data)
    assert "the entry point was" in changed(draft, Image.of(final.path, bytes(data)), {".table"})[0]


def test_bytes_between_sections_are_seen(links: tuple[Image, Image]) -> None:
    draft, final = links
    rodata, table = final.section(".rodata"), final.section(".table")
    places = range(rodata.offset + rodata.size, table.offset)
    assert places
    for at in places:
        data = bytearray(final.data)
        data[at] = 0x90
        assert changed(draft, Image.of(final.path, bytes(data)), {".table"}), hex(at)


def test_each_byte_of_unwind_tables_is_seen(links: tuple[Image, Image]) -> None:
    """They are made by the linker, without relocations that could be trusted, and move behind a larger table."""
    draft, final = links
    frames = final.section(".eh_frame")
    assert frames.size
    for at in range(frames.offset, frames.offset + frames.size):
        data = bytearray(final.data)
        data[at] ^= 0x41
        assert compare(draft, Image.of(final.path, bytes(data)), {".table"}).changed, hex(at)


def test_an_image_that_loads_nothing_is_compared() -> None:
    nothing = Image.of(Path("nothing"), File().write())
    other = Image.of(Path("other"), File([Section(".text", bytes(16), 0x1000, ALLOC)]).write())
    assert changed(nothing, other, set()) == changed(other, nothing, set()) == []  # they have no segments
