"""The fixup compiled with sanitizers: it touches nothing outside the bounds that it is given."""

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.tables.sites_format import ERRORS
from tests.conftest import tool
from tests.layouts import LOW, SIZE, Layout, Way, corrupted, from_seed
from tests.runtime.native import WARNINGS, one_site

HOST = r"""
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "buildplug.h"

enum { GUARD = 1 << 16 };

/* Reads layouts - address, size, table, backend, start, end, bytes - and says what becomes of each. */
int main(void)
{
    uint64_t head[6];

    while (fread(head, sizeof(head), 1, stdin) == 1) {
        size_t size = head[1];
        uint8_t *outer = (uint8_t *)head[0] - GUARD, *inner = (uint8_t *)head[0];
        uint8_t *before = malloc(size);
        struct bp_status status;

        if (mmap(outer, size + 2 * GUARD, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != outer ||
            fread(inner, 1, size, stdin) != size)
            return 3;
        memcpy(before, inner, size);
        __asan_poison_memory_region(outer, GUARD + (head[4] - head[0]));
        __asan_poison_memory_region((void *)head[5], head[0] + size + GUARD - head[5]);
        status = bp_fixup((void *)head[2], (void *)head[3], (void *)head[4], (void *)head[5], bp_write, 0);
        __asan_unpoison_memory_region(outer, size + 2 * GUARD);
        printf("%u %u %d\n", status.error, status.entry, memcmp(before, inner, size) != 0);
        munmap(outer, size + 2 * GUARD);
        free(before);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def sanitized(source: Path) -> Path:
    """A program that runs the C on layouts, and dies of a byte read or written outside of their bounds."""
    (source / "host.c").write_text(HOST)
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
    tool("gcc", *WARNINGS, "-D_GNU_SOURCE", *checks, source / "host.c", source / "fixup.c", "-o", source / "host")
    return source / "host"


def run_sanitized(program: Path, layouts: list[Layout]) -> None:
    """That the program finds each layout as the reference does, and touches nothing outside its bounds."""
    packed = program.with_suffix(".layouts")
    with packed.open("wb") as file:
        for layout in layouts:
            ((address, content),) = layout.regions
            numbers = (address, len(content), layout.at, layout.backend, layout.start, layout.end)
            file.write(struct.pack("<6Q", *numbers) + content)
    said = tool("sh", "-c", f"exec '{program}' <'{packed}'").splitlines()
    assert len(said) == len(layouts)
    for line, layout in zip(said, layouts, strict=True):
        error, entry, written = map(int, line.split())
        status, after = layout.fixed()
        assert (list(ERRORS)[error], entry, bool(written)) == (*status, after.regions != layout.regions)


def test_c_stays_inside_the_bounds_whatever_the_table_says(sanitized: Path) -> None:
    rng = random.Random(1)
    layouts = [corrupted(rng, from_seed(rng, (LOW,))) for _ in range(400)]
    # a table that starts, or goes on, behind the end
    some = layouts[0]
    layouts += [replace(some, at=at, end=some.at + 16) for at in (some.at, some.at - 16, some.at + 16)]
    layouts += [replace(some, end=some.at + 24), replace(some, at=some.start - 16), replace(some, at=some.end + 16)]
    run_sanitized(sanitized, layouts)


def test_c_stays_inside_the_bounds_whatever_the_backend_says(sanitized: Path) -> None:
    rng = random.Random(2)
    layouts = []
    for _ in range(300):
        layout = from_seed(rng, (LOW,))
        at = layout.backend + 8 + rng.randrange(8 * len(layout.table.ops))
        layout = layout.changed(at, bytes([layout.read(at, 1)[0] ^ 1 << rng.randrange(8)]))
        layouts.append(layout)
    run_sanitized(sanitized, layouts)


@pytest.mark.parametrize("outside", [-8, SIZE, SIZE - 4, SIZE - 8])
def test_a_backend_outside_the_bounds_is_refused(sanitized: Path, outside: int) -> None:
    layout = one_site("call", Way())
    backend = struct.pack("<II", 0x45425042, 1)[: max(0, SIZE - outside)]
    layout = replace(layout.changed(LOW + outside, backend), backend=LOW + outside)
    assert layout.fixed()[0].error != "ok"
    run_sanitized(sanitized, [layout])


def test_inline_code_outside_the_bounds_is_refused(sanitized: Path) -> None:
    layout = one_site("call", Way(LOW + SIZE - 4, b"\xfa\xfa\xfa\xfa"))
    run_sanitized(sanitized, [layout])
    layout = replace(layout, end=layout.end - 1)
    assert layout.fixed()[0].error != "ok"
    run_sanitized(sanitized, [layout])
