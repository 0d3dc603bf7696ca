"""Relocation at boot: the C against the reference, byte for byte, and what each field becomes."""

import ctypes
import mmap
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch.field import ABS64, FIELD_NAMES, FIELDS
from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.runtime.memory import Status
from buildplug.select.relocations import FIELD
from buildplug.stage import render
from buildplug.tables import relocs
from tests.conftest import CC, tool
from tests.runtime.i386_host import FLAGS as FLAGS_I386
from tests.runtime.i386_host import HOST as HOST_I386
from tests.runtime.relocations import FLAGS, PLACE, SIZE, Layout, corrupted, lay_out


class CStatus(ctypes.Structure):
    """struct bp_relocs_status"""

    _fields_ = (("error", ctypes.c_uint32), ("entry", ctypes.c_uint32))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated C."""
    folder = tmp_path_factory.mktemp("runtime")
    for name, text in render.runtime(X86_64, folder).items():
        (folder / name).write_text(text)
    return folder


Native = Callable[[Layout], tuple[Status, bytes]]


@pytest.fixture(scope="module")
def native(source: Path) -> Iterator[Native]:
    """What the generated C makes of a layout, which must be what the reference makes of it; after an error, nothing."""
    tool("gcc", *FLAGS, "-O2", "-shared", "-fPIC", source / "relocs.c", "-o", source / "relocs.so")
    function = ctypes.CDLL(str(source / "relocs.so")).bp_relocate
    function.restype, function.argtypes = CStatus, [ctypes.c_void_p] * 3 + [ctypes.c_uint64]
    with mmap.mmap(-1, SIZE) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

        def run(layout: Layout) -> tuple[Status, bytes]:
            memory[:] = layout.content
            status = function(
                address + layout.at, address + layout.start, address + layout.end, layout.slide % (1 << 64)
            )
            found = Status(list(relocs.ERRORS)[status.error], status.entry), memory[:]
            assert found == layout.relocated(address)
            if found[0].error != "ok" or not layout.slide:
                assert found[1] == layout.content
            return found

        yield run


def test_c_on_i386_does_what_the_reference_does(tmp_path: Path) -> None:
    host = HOST_I386.replace("buildplug.h", "relocs.h").replace("struct bp_status", "struct bp_relocs_status")
    call = "bp_fixup((void *)head[0], (void *)head[1], (void *)head[2], (void *)head[3], bp_write, 0)"
    host = host.replace(call, "bp_relocate((void *)head[0], (void *)head[1], (void *)head[2], head[3])")
    for name, text in (render.runtime(I386, tmp_path) | {"host.c": host}).items():
        (tmp_path / name).write_text(text)
    where = (f"-DLOW={PLACE}", f"-DSIZE={SIZE}", "-nostdlib", "-static", "-e", "start")
    tool("gcc", *FLAGS_I386, *where, tmp_path / "host.c", tmp_path / "relocs.c", "-o", tmp_path / "host")
    rng = random.Random(3)
    layouts = [lay_out(rng, I386) for _ in range(300)]
    layouts += [corrupted(rng, layout) for layout in layouts]
    packed, expected, seen = b"", b"", Counter[str]()
    for layout in layouts:
        bounds = (PLACE + layout.at, PLACE + layout.start, PLACE + layout.end, layout.slide)
        packed += struct.pack("<4I", *bounds) + layout.content
        status, after = layout.relocated()
        expected += struct.pack("<2I", list(relocs.ERRORS).index(status.error), status.entry) + after
        seen[status.error] += 1
    (tmp_path / "in").write_bytes(packed)
    tool("sh", "-c", f"'{tmp_path}/host' <'{tmp_path}/in' >'{tmp_path}/out'")
    assert (tmp_path / "out").read_bytes() == expected
    assert seen.keys() == relocs.ERRORS.keys() - {"overflow"}  # addresses have as many bits as their fields


@pytest.mark.parametrize("arch", [X86_64, I386], ids=lambda arch: arch.name)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
def test_the_c_runs_wherever_it_is_before_relocation(tmp_path: Path, arch: Arch, compiler: str, level: str) -> None:
    """Compiled as kernels are: nothing in it is at an absolute address, and nothing is called or stored elsewhere."""
    for name, text in render.runtime(arch, tmp_path).items():
        (tmp_path / name).write_text(text)
    kernel = ["-fno-pic", "-mgeneral-regs-only", "-fno-asynchronous-unwind-tables"]
    kernel += ["-mcmodel=kernel", "-mno-red-zone"] if arch is X86_64 else CC[arch.name]
    tool(compiler, *FLAGS, *kernel, level, "-c", tmp_path / "relocs.c", "-o", tmp_path / "out.o")
    listed = tool("readelf", "-rW", tmp_path / "out.o")
    kinds = {line.split()[2].partition(f"{arch.name[1:].upper()}_")[2] for line in listed.splitlines() if "R_" in line}
    assert kinds <= {"PC32", "PLT32"}
    assert tool("nm", "-u", tmp_path / "out.o") == ""
    assert {line.split()[1] for line in tool("nm", tmp_path / "out.o").splitlines()} <= {"T", "t"}


def test_c_does_what_the_reference_does(native: Native) -> None:
    seen = Counter[str]()

    @settings(max_examples=700)
    @given(st.integers(0, 2**64 - 1))
    def run(seed: int) -> None:
        seen[native(lay_out(random.Random(seed)))[0].error] += 1

    run()
    assert seen.keys() == {"ok", "overflow"}
    assert seen["ok"] > 500, seen


def test_c_refuses_what_the_reference_refuses(native: Native) -> None:
    seen = Counter[str]()

    @settings(max_examples=700)
    @given(st.integers(0, 2**64 - 1))
    def run(seed: int) -> None:
        rng = random.Random(seed)
        seen[native(corrupted(rng, lay_out(rng)))[0].error] += 1

    run()
    assert seen.keys() == relocs.ERRORS.keys(), seen


HOST = r"""
#include <stdio.h>
#include <stdlib.h>
#include "relocs.h"

/* Reads layouts - size, table, slide, bytes - and says what becomes of each. */
int main(void)
{
    uint64_t head[3];

    while (fread(head, sizeof(head), 1, stdin) == 1) {
        uint8_t *memory = malloc(head[0]);
        struct bp_relocs_status status;

        if (fread(memory, 1, head[0], stdin) != head[0])
            return 3;
        status = bp_relocate((void *)((uintptr_t)memory + head[1]), memory, memory + head[0], head[2]);
        fwrite(&status, sizeof(status), 1, stdout);
        fwrite(memory, 1, head[0], stdout);
        free(memory);
    }
    return 0;
}
"""


def test_c_stays_inside_the_bounds_whatever_the_table_says(source: Path, tmp_path: Path) -> None:
    (tmp_path / "host.c").write_text(HOST)
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
    tool("gcc", *FLAGS[:4], *checks, "-I", source, tmp_path / "host.c", source / "relocs.c", "-o", tmp_path / "host")
    rng = random.Random(1)
    layouts = [corrupted(rng, lay_out(rng)) for _ in range(600)]
    layouts += [replace(layout, at=at) for layout in layouts[:4] for at in (-8, 4, SIZE - 8, SIZE, SIZE + 8)]
    packed, expected = b"", b""
    for layout in layouts:
        start, end = min(layout.start & ~15, SIZE), max(layout.end, layout.start & ~15)
        layout = replace(layout, start=start, end=end)  # malloc() aligns
        packed += struct.pack("<3Q", end - start, (layout.at - start) % (1 << 64), layout.slide % (1 << 64))
        packed += layout.content[start:end]
        status, after = layout.relocated()
        expected += struct.pack("<2I", list(relocs.ERRORS).index(status.error), status.entry) + after[start:end]
    (tmp_path / "in").write_bytes(packed)
    tool("sh", "-c", f"'{tmp_path}/host' <'{tmp_path}/in' >'{tmp_path}/out' 2>'{tmp_path}/errors'")
    assert (tmp_path / "out").read_bytes() == expected


@pytest.mark.parametrize(
    ("encoding", "before", "slide", "after"),
    [
        ("abs64", 0xFFFFFFFF81000000, 0x200000, 0xFFFFFFFF81200000),
        ("abs64", 8, -16, 2**64 - 8),
        ("abs32", 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF),
        ("abs32", 0x80000000, 0x80000000, None),
        ("abs32", 16, -16, 0),
        ("abs32", 16, -17, None),
        ("abs32s", 0x81000000, 0x7EFFFFFF, 0xFFFFFFFF),
        ("abs32s", 0x7FFFFFFF, 1, None),
        ("abs32s", 0x80000000, -1, None),
        ("abs32s", 0, 1 << 32, None),
        ("rel32", 0x1000, 0x200, 0xE00),
        ("rel32", 0, 0x80000000, 0x80000000),
        ("rel32", 0, 0x80000001, None),
    ],
)
def test_what_a_field_becomes(native: Native, encoding: str, before: int, slide: int, after: int | None) -> None:
    number = FIELD_NAMES.index(encoding)
    rows = np.array([(0, 0, FIELDS.index(ABS64), 0, 0, 0), (0, 8, number, 0, 0, 0)], FIELD)
    table = relocs.encode(X86_64, np.array([16], "u8"), np.array([1024], "u8"), rows)
    layout = Layout(table.ljust(SIZE, b"\0"), 0, 0, SIZE, slide)
    width = FIELDS[number].size
    layout = layout.changed(1032, before.to_bytes(width, "little"))
    status, memory = native(layout)
    assert status == (("ok", 0) if after is not None else ("overflow", 1))
    expected = layout.content
    if after is not None:
        expected = layout.changed(1024, (slide % (1 << 64)).to_bytes(8, "little")).content
        expected = replace(layout, content=expected).changed(1032, after.to_bytes(width, "little")).content
    assert memory == expected
