"""The fixup: C against the reference, byte for byte, and each row of what it does by an example."""

import ctypes
import mmap
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch import x86
from buildplug.arch.form import ADDRESS, POINTER
from buildplug.runtime.memory import Status
from buildplug.stage import render
from buildplug.tables.sites_format import ERRORS
from tests.conftest import tool
from tests.layouts import FORMS, HIGH, LOW, SIZE, Layout, Op, Site, Way, corrupted, field, from_seed, lay_out

MAP_FIXED_NOREPLACE = 0x100000
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
FLAGS = (*WARNINGS, "-ffreestanding")

seeds = st.integers(0, 2**64 - 1)

WRITER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)


class CStatus(ctypes.Structure):
    """struct bp_status"""

    _fields_ = (("error", ctypes.c_uint32), ("entry", ctypes.c_uint32))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated C."""
    folder = tmp_path_factory.mktemp("runtime")
    for name, text in render.runtime(x86.X86_64, folder).items():
        (folder / name).write_text(text)
    return folder


class Native:
    """The generated C in this process, with memory at the addresses of layouts."""

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.library.bp_fixup.restype = CStatus
        self.library.bp_fixup.argtypes = [ctypes.c_void_p] * 6
        self.library.bp_switch.restype = CStatus
        self.library.bp_switch.argtypes = [ctypes.c_void_p] * 7
        self.library.bp_error.restype = ctypes.c_char_p
        self.written: list[tuple[int, int]] = []
        self.callback = WRITER(self._write)
        self.writers = {
            "plain": ctypes.cast(self.library.bp_write, ctypes.c_void_p),
            "callback": ctypes.cast(self.callback, ctypes.c_void_p),
            "none": None,
        }
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self.unmap = libc.munmap
        self.unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        for address in (LOW, HIGH):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
            assert libc.mmap(address, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) == address

    def _write(self, context: int, site: int, data: int, length: int) -> None:
        assert context == 77
        self.written.append((site, length))
        ctypes.memmove(site, data, length)

    def fixed(self, layout: Layout, writer: str) -> tuple[Status, Layout]:
        """What the C makes of a layout."""
        self.load(layout)
        bounds = (layout.at, layout.backend, layout.start, layout.end)
        return self.result(layout, self.library.bp_fixup(*bounds, self.writers[writer], 77))

    def switched(self, layout: Layout, origin: int, backend: int) -> tuple[Status, Layout]:
        """What the C makes of a layout whose sites hold what a backend gave them; 0 is none."""
        self.load(layout)
        bounds = (layout.at, origin, backend, layout.start, layout.end)
        return self.result(layout, self.library.bp_switch(*bounds, self.writers["plain"], 0))

    def load(self, layout: Layout) -> None:
        self.written.clear()
        for address, content in layout.regions:
            ctypes.memmove(address, content, len(content))

    def result(self, layout: Layout, status: CStatus) -> tuple[Status, Layout]:
        regions = tuple((address, ctypes.string_at(address, len(content))) for address, content in layout.regions)
        return Status(list(ERRORS)[status.error], status.entry), replace(layout, regions=regions)


@pytest.fixture(scope="module")
def native(source: Path) -> Iterator[Native]:
    tool("gcc", *FLAGS, "-O2", "-shared", "-fPIC", source / "fixup.c", "-o", source / "fixup.so")
    native = Native(source / "fixup.so")
    yield native
    for address in (LOW, HIGH):
        native.unmap(address, SIZE)


def both(native: Native, layout: Layout, writer: str = "plain") -> tuple[Status, Layout]:
    """What C and the reference make of a layout, which must be the same; after an error, nothing."""
    status, after = native.fixed(layout, writer)
    expected, fixed = layout.fixed(dry=writer == "none")
    assert status == expected
    assert after.regions == fixed.regions
    if status.error != "ok" or writer == "none":
        assert after.regions == layout.regions
    return status, after


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_the_c_compiles_without_warnings(source: Path, tmp_path: Path, compiler: str, level: str) -> None:
    tool(compiler, *FLAGS, level, "-c", source / "fixup.c", "-o", tmp_path / "out.o")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_c_needs_nothing_from_outside(source: Path, tmp_path: Path, compiler: str) -> None:
    tool(compiler, *FLAGS, "-O2", "-mcmodel=kernel", "-fno-pic", "-c", source / "fixup.c", "-o", tmp_path / "out.o")
    assert tool("nm", "-u", tmp_path / "out.o") == ""
    assert {line.split()[1] for line in tool("nm", tmp_path / "out.o").splitlines()} <= {"T", "t", "r"}  # no globals


def test_the_names_of_errors_are_the_same_in_c(native: Native) -> None:
    texts = [native.library.bp_error(number).decode() for number in range(len(ERRORS))]
    assert texts == list(ERRORS.values())


FORMS_BY_NUMBER = x86.X86_64.forms
MEMORY = {"low": (LOW,), "high": (HIGH,), "both": (LOW, HIGH), "both, table high": (HIGH, LOW)}


@pytest.mark.parametrize("regions", MEMORY.values(), ids=MEMORY.keys())
def test_c_does_what_the_reference_does(native: Native, regions: tuple[int, ...]) -> None:
    seen = Counter[str]()

    @settings(max_examples=700)
    @given(seeds, st.sampled_from(["plain", "callback", "none"]))
    def run(seed: int, writer: str) -> None:
        layout = from_seed(random.Random(seed), regions)
        status, after = both(native, layout, writer)
        seen[status.error] += 1
        if writer == "callback" and status.error == "ok":
            lengths = [FORMS_BY_NUMBER[form].length for _, form, _ in layout.table.rows(layout.at, 1 << 64)]
            sites = zip(layout.sites, lengths, strict=True)
            assert native.written == [(at, n) for at, n in sites if layout.read(at, n) != after.read(at, n)]
        if status.error == "ok" and writer != "none":
            both(native, after)  # a second time, on what the first has made

    run()
    assert seen["ok"] > 100, seen


@pytest.mark.parametrize("regions", MEMORY.values(), ids=MEMORY.keys())
def test_c_refuses_what_the_reference_refuses(native: Native, regions: tuple[int, ...]) -> None:
    seen = Counter[str]()

    @settings(max_examples=600)
    @given(seeds)
    def run(seed: int) -> None:
        rng = random.Random(seed)
        layout = from_seed(rng, regions)
        for _ in range(3):
            seen[both(native, corrupted(rng, layout))[0].error] += 1

    run()
    assert all(seen[error] for error in ERRORS if error not in ("no_function", "out_of_range")), seen


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


# One site of each form, at TEXT + 0x10, in a section of 0x100 bytes; the default function at TEXT + 0x80.
TABLE, BACKEND, INLINE, TEXT, DATA = LOW, LOW + 0x200, LOW + 0x300, LOW + 0x400, LOW + 0x600
SITE, DEFAULT, SLOT, OTHER = TEXT + 0x10, TEXT + 0x80, DATA + 0x20, DATA + 0x80
SECTIONS = ((TEXT, 0x100), (DATA, 0x100))
OP = Op((0, 0x80), (1, 0x20))


def one_site(form: str, way: Way, op: Op = OP) -> Layout:
    memory = [(LOW, b"\xcc" * SIZE)]
    return lay_out(memory, TABLE, BACKEND, SECTIONS, [op], [Site(0, 0x10, form, 0)], [way])


def becomes(native: Native, form: str, way: Way) -> bytes:
    """What a site becomes; nothing else may change."""
    layout = one_site(form, way)
    status, after = both(native, layout)
    assert status == Status("ok", 0)
    length = FORMS[form][1].length
    assert after.changed(SITE, layout.read(SITE, length)).regions == layout.regions
    return after.read(SITE, length)


def to(opcode: bytes, site: int, target: int) -> bytes:
    """A direct call or jump, or a conditional one."""
    return opcode + (target - site - len(opcode) - 4).to_bytes(4, "little", signed=True)


CLI, LONG = Way(INLINE, b"\xfa"), Way(INLINE, bytes(range(12)))
FUNCTION, NOTHING, KEEP = Way(OTHER), Way(INLINE, b""), Way()

CALLS = {
    "call": 5,
    "call in 8": 8,
    "call in 10": 10,
    "call in 12": 12,
    "call in 16": 16,
    "addr32 call": 6,
    "cs call": 6,
    "call *rip": 6,
    "call *abs32s": 7,
}
JUMPS = {"jmp": 5, "cs jmp": 6, "jmp *rip": 6, "jmp *abs32s": 7}
NOP = {
    0: "", 1: "90", 2: "6690", 3: "0f1f00", 4: "0f1f4000", 5: "0f1f440000", 6: "660f1f440000", 7: "0f1f8000000000",
    8: "0f1f840000000000", 9: "660f1f840000000000",
}  # fmt: skip


def nop(length: int) -> bytes:
    return bytes.fromhex(NOP[min(length, 9)] + NOP[max(length - 9, 0)])


@pytest.mark.parametrize(("form", "length"), CALLS.items())
class TestCall:
    def test_inline_code_stands_in_its_place_with_the_longest_nop(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, CLI) == b"\xfa" + nop(length - 1)

    def test_inline_code_may_fill_it(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length))
        assert becomes(native, form, Way(INLINE, code)) == code

    def test_code_that_does_not_fit_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length + 1))
        assert becomes(native, form, Way(INLINE, code)) == to(b"\xe8", SITE, INLINE) + nop(length - 5)

    def test_a_function_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, FUNCTION) == to(b"\xe8", SITE, OTHER) + nop(length - 5)

    def test_the_default_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, KEEP) == to(b"\xe8", SITE, DEFAULT) + nop(length - 5)

    def test_nothing_becomes_the_longest_nops(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, NOTHING) == nop(length)


@pytest.mark.parametrize(("form", "length"), JUMPS.items())
class TestTailJump:
    def test_inline_code_stands_in_its_place_with_a_return(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, CLI) == b"\xfa\xc3" + nop(length - 2)

    def test_inline_code_and_its_return_may_fill_it(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length - 1))
        assert becomes(native, form, Way(INLINE, code)) == code + b"\xc3"

    def test_code_that_fits_only_without_its_return_is_jumped_to(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length))
        assert becomes(native, form, Way(INLINE, code)) == to(b"\xe9", SITE, INLINE) + nop(length - 5)

    def test_a_function_becomes_a_direct_jump(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, FUNCTION) == to(b"\xe9", SITE, OTHER) + nop(length - 5)

    def test_nothing_becomes_a_return(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, NOTHING) == b"\xc3" + nop(length - 1)


@pytest.mark.parametrize(("form", "opcode"), [("jcc", b"\x0f\x80"), ("cs jcc", b"\x2e\x0f\x80")])
@pytest.mark.parametrize("way", [CLI, LONG, FUNCTION, NOTHING, KEEP])
def test_a_conditional_jump_is_retargeted(native: Native, form: str, opcode: bytes, way: Way) -> None:
    assert becomes(native, form, way) == to(opcode, SITE, way.address or DEFAULT)


@pytest.mark.parametrize("form", [f.name for f in x86.X86_64.forms if f.kind in (ADDRESS, POINTER)])
@pytest.mark.parametrize("way", [CLI, LONG, FUNCTION, NOTHING, KEEP])
def test_pointers_and_addresses_say_the_function(native: Native, form: str, way: Way) -> None:
    before = one_site(form, way).read(SITE, FORMS[form][1].length)
    record = FORMS[form][1]
    value = field(record, SITE, way.address or DEFAULT)
    assert value is not None
    assert becomes(native, form, way) == before[: record.at] + value


def test_every_form_has_its_row_here() -> None:
    others = {f.name for f in x86.X86_64.forms if not f.kind.inline}
    assert {*CALLS, *JUMPS, *others} == set(FORMS)


def test_bits_that_a_form_leaves_open_stay(native: Native) -> None:
    # lea to r9 (4c 8d 0d): the register is no part of what is compared, nor of what is written
    layout = one_site("lea rip, r64", FUNCTION).changed(SITE, b"\x4c\x8d\x0d")
    status, after = both(native, layout)
    assert status.error == "ok"
    value = field(FORMS["lea rip, r64"][1], SITE, OTHER)
    assert after.read(SITE, 7) == b"\x4c\x8d\x0d" + (value or b"")


def test_a_function_out_of_reach_is_refused(native: Native) -> None:
    # the default lies 8 GiB away from the site of a call through a slot
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    sections = [(TEXT, 0x100), (HIGH, 0x100)]
    layout = lay_out(
        regions, TABLE, BACKEND, sections, [Op((1, 0), (0, 0x80))], [Site(0, 0x10, "call *rip", 0)], [KEEP]
    )
    assert both(native, layout)[0] == Status("out_of_range", 0)


def test_a_function_that_only_the_first_site_reaches_is_refused(native: Native) -> None:
    table, backend, text = (HIGH + (at - LOW) for at in (TABLE, BACKEND, TEXT))
    sites = [Site(0, 0x10, "call", 0), Site(0, 0x20, "call", 0)]
    last = text + 0x10 + 5 - (1 << 31)  # that a call at 0x10 reaches
    layout = lay_out([(HIGH, b"\xcc" * SIZE)], table, backend, [(text, 0x100)], [Op((0, 0x80))], sites, [Way(last)])
    assert both(native, layout)[0] == Status("out_of_range", 1)


def test_a_pointer_reaches_anything(native: Native) -> None:
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    sites = [Site(0, 0x10, "pointer", 0)]
    layout = lay_out(regions, TABLE, BACKEND, [(TEXT, 0x100), (HIGH, 0x100)], [Op((1, 8))], sites, [KEEP])
    status, after = both(native, layout)
    assert (status.error, after.read(SITE, 8)) == ("ok", (HIGH + 8).to_bytes(8, "little"))


def test_an_address_that_does_not_fit_its_field_is_refused(native: Native) -> None:
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    layout = lay_out(
        regions, HIGH + 0x400, HIGH + 0x200, [(LOW, 0x100), (HIGH, 0x100)], [Op((0, 8))],
        [Site(1, 0, "imm32", 0)], [Way(HIGH + 0x80)],
    )  # fmt: skip
    assert both(native, layout)[0] == Status("out_of_range", 0)


def test_an_op_that_nobody_implements_is_refused(native: Native) -> None:
    assert both(native, one_site("call *rip", KEEP, Op(None, (1, 0x20))))[0] == Status("no_function", 0)


def test_an_op_without_a_default_is_what_the_backend_gives(native: Native) -> None:
    status, after = both(native, one_site("call *rip", FUNCTION, Op(None, (1, 0x20))))
    assert (status.error, after.read(SITE, 6)) == ("ok", to(b"\xe8", SITE, OTHER) + b"\x90")


def test_a_call_of_an_op_without_a_function_is_refused(native: Native) -> None:
    layout = one_site("call", FUNCTION)
    ops = layout.table.ops.copy()
    ops["function_section"] = 0xFFFF
    assert both(native, layout.with_table(replace(layout.table, ops=ops)))[0] == Status("bad_site", 0)


def two_sites(first: int, second: int) -> Layout:
    sites = [Site(0, first, "call", 0), Site(0, second, "jmp", 0)]
    return lay_out([(LOW, b"\xcc" * SIZE)], TABLE, BACKEND, SECTIONS, [OP], sites, [CLI])


def switched(native: Native, layout: Layout, origin: int, backend: int) -> tuple[Status, Layout]:
    """What C and the reference make of a layout, which must be the same."""
    status, after = native.switched(layout, origin, backend)
    expected, fixed = layout.switched(origin, backend)
    assert (status, after.regions) == (expected, fixed.regions)
    return status, after


@settings(max_examples=400)
@given(seeds)
def test_what_was_linked_comes_back(native: Native, seed: int) -> None:
    layout = from_seed(random.Random(seed), (LOW,))
    status, fixed = layout.fixed()
    if status.error == "ok":
        assert switched(native, fixed, layout.backend, 0) == (Status("ok", 0), layout)


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("ways", [(CLI, FUNCTION), (FUNCTION, LONG), (KEEP, CLI), (FUNCTION, NOTHING), (NOTHING, KEEP)])
def test_a_site_goes_from_backend_to_backend(native: Native, form: str, ways: tuple[Way, Way]) -> None:
    """It is as if it had gone there at once."""
    first = one_site(form, ways[0])
    other = BACKEND + 0x40  # where a copy of the second backend stands, too
    place = other + 8
    address, length = ways[1].address, len(ways[1].code) if ways[1].code is not None else 0xFFFFFFFF
    record = struct.pack("<IIiI", 0x45425042, 1, address - place if address else 0, length)
    both_there = first.changed(other, record).changed(INLINE, ways[0].code or ways[1].code or b"")
    _, fixed = both(native, both_there)
    status, after = switched(native, fixed, BACKEND, other)
    direct, expected = both(native, replace(both_there, backend=other))
    assert (status, after.regions) == (direct, expected.regions)
    assert status == Status("ok", 0)


def test_a_site_that_another_backend_had_is_refused(native: Native) -> None:
    _, fixed = both(native, one_site("call", CLI))
    assert switched(native, fixed, 0, BACKEND)[0] == Status("bad_bytes", 0)


def test_no_backend_at_all_is_none(native: Native) -> None:
    assert native.library.bp_fixup(None, None, None, None, None, None).error == list(ERRORS).index("bad_magic")


def test_sites_side_by_side_are_taken(native: Native) -> None:
    assert both(native, two_sites(0x10, 0x15))[0] == Status("ok", 0)


@pytest.mark.parametrize("second", [0x14, 0x10, 0x0B])
def test_sites_that_overlap_or_go_back_are_refused(native: Native, second: int) -> None:
    layout = two_sites(0x10, 0x20)
    rows = layout.table.sites.copy()
    rows["offset"][1] = second
    assert both(native, layout.with_table(replace(layout.table, sites=rows)))[0] == Status("bad_site", 1)


@pytest.mark.parametrize("writer", ["plain", "none"])
@pytest.mark.parametrize("last", [0x20, 0x10, 0x22])
def test_so_are_those_of_a_kind_that_is_known_already(native: Native, last: int, writer: str) -> None:
    sites = [Site(0, at, "call", 0) for at in (0x10, 0x20, 0x30)]
    layout = lay_out([(LOW, b"\xcc" * SIZE)], TABLE, BACKEND, SECTIONS, [OP], sites, [CLI])
    rows = layout.table.sites.copy()
    rows["offset"][2] = last
    assert both(native, layout.with_table(replace(layout.table, sites=rows)), writer)[0] == Status("bad_site", 2)


@pytest.mark.parametrize(("offset", "error"), [(0x100 - 5, "ok"), (0x100 - 4, "bad_site"), (0xFFFFFFFE, "bad_site")])
def test_a_site_ends_inside_its_section(native: Native, offset: int, error: str) -> None:
    sites = [Site(0, 0x100 - 5, "call", 0)]
    layout = lay_out([(LOW, bytes(SIZE))], TABLE, BACKEND, SECTIONS, [OP], sites, [CLI])
    rows = layout.table.sites.copy()
    rows["offset"] = offset
    assert both(native, layout.with_table(replace(layout.table, sites=rows)))[0] == Status(error, 0)


def test_a_site_of_two_sections_is_refused(native: Native) -> None:
    sites = [Site(0, 0x10, "call", 0), Site(1, 0x10, "call", 0)]
    sections = [(TEXT, 0x100), (TEXT, 0x100)]
    layout = lay_out([(LOW, bytes(SIZE))], TABLE, BACKEND, sections, [Op((0, 0x80))], sites, [CLI])
    assert both(native, layout)[0].error != "ok"


def test_a_second_run_is_refused(native: Native) -> None:
    _, after = both(native, one_site("call", CLI))
    assert both(native, after)[0] == Status("bad_bytes", 0)


def test_a_run_that_changed_nothing_may_be_repeated(native: Native) -> None:
    layout = one_site("call", KEEP)
    status, after = both(native, layout)
    assert (status.error, after.regions) == ("ok", layout.regions)


@pytest.mark.parametrize("writer", ["plain", "callback", "none"])
def test_an_error_at_the_last_site_leaves_the_first_as_it_was(native: Native, writer: str) -> None:
    layout = two_sites(0x10, 0x20).changed(TEXT + 0x20, b"\x90")
    assert both(native, layout, writer)[0] == Status("bad_bytes", 1)


@pytest.mark.parametrize("writer", ["plain", "callback"])
def test_an_error_at_any_last_site_leaves_all_as_they_were(native: Native, writer: str) -> None:
    seen = Counter[str]()

    @settings(max_examples=300)
    @given(seeds)
    def run(seed: int) -> None:
        layout = from_seed(random.Random(seed), (LOW,))
        if layout.sites:
            last = max(layout.sites)
            layout = layout.changed(last, bytes([layout.read(last, 1)[0] ^ 0xFF]))
            status, after = both(native, layout, writer)
            assert after.regions == layout.regions or status.error == "ok"
            seen[status.error] += len(layout.sites) > 1

    run()
    assert seen["bad_bytes"] > 50, seen


def test_an_empty_table_is_fine_with_any_backend(native: Native) -> None:
    layout = lay_out([(LOW, bytes(SIZE))], TABLE, BACKEND, [], [], [], [])
    for ops in (0, 7):
        status, after = both(native, layout.changed(BACKEND + 4, bytes([ops])))
        assert (status, after.regions[0][1][:0x200]) == (Status("ok", 0), layout.regions[0][1][:0x200])


def test_a_backend_of_another_number_of_ops_is_refused(native: Native) -> None:
    assert both(native, one_site("call", CLI).changed(BACKEND + 4, b"\x02"))[0] == Status("bad_magic", 1)


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [(0, b"BPTC", "bad_magic"), (12, b"\2\0", "bad_version"), (14, b"\xb7\0", "bad_version"), (8, b"\1", "bad_size"),
     (16, b"\1\0", "bad_size"), (20, b"\xff\xff\xff\xff", "bad_size"), (4, bytes(4), "bad_checksum"),
     (24, b"\1", "bad_version"), (28, b"\1", "bad_checksum")],
)  # fmt: skip
def test_a_damaged_header_is_refused(native: Native, at: int, value: bytes, error: str) -> None:
    assert both(native, one_site("call", CLI).changed(TABLE + at, value))[0] == Status(error, 0)


def test_a_count_of_sites_that_only_a_section_has_is_refused(native: Native) -> None:
    layout = one_site("call", CLI)
    for counts in ([2, 0], [0, 0], [2**32 - 1, 2]):
        rows = layout.table.sections.copy()
        rows["sites"] = counts
        assert both(native, layout.with_table(replace(layout.table, sections=rows)))[0] == Status("bad_size", 0)


def test_a_section_outside_the_image_is_refused(native: Native) -> None:
    layout = one_site("call", CLI)
    for base in (-1, SIZE - 0xFF, 1 << 62, -(1 << 63)):
        bases = np.array([layout.table.bases[0], base], "<i8")
        assert both(native, layout.with_table(replace(layout.table, bases=bases)))[0] == Status("bad_bounds", 1)


@pytest.mark.parametrize("field", ["function", "slot", "function_section", "slot_section"])
def test_an_op_outside_its_section_is_refused(native: Native, field: str) -> None:
    layout = one_site("call", CLI)
    rows = layout.table.ops.copy()
    rows[field] = 2 if field.endswith("section") else 0x100
    assert both(native, layout.with_table(replace(layout.table, ops=rows)))[0] == Status("bad_bounds", 0)


def test_a_form_or_an_op_that_does_not_exist_is_refused(native: Native) -> None:
    layout = one_site("call", CLI)
    for info in (len(FORMS) << 10, 63 << 10, FORMS["call"][0] << 10 | 1):
        rows = layout.table.sites.copy()
        rows["info"] = info
        assert both(native, layout.with_table(replace(layout.table, sites=rows)))[0] == Status("bad_site", 0)
