"""Backends are checked by the table's checksums before anything is written, and nothing that the fixup reads may be
where it writes."""

import random
import struct
from dataclasses import replace

import numpy as np
import pytest

from buildplug.arch.x86 import X86_64
from buildplug.runtime.memory import Status
from buildplug.tables.sites_format import dtype
from tests.layouts import FORMS, LOW, SIZE, Layout, Op, Site, Way, from_seed, lay_out
from tests.runtime.native import BACKEND, CLI, DATA, TABLE, TEXT, Native, both, one_site, two_sites

RECORD = BACKEND + dtype("backend", "<").itemsize


def refused(native: Native, layout: Layout, error: str, entry: int) -> None:
    status, after = both(native, layout)
    assert status == Status(error, entry)
    assert after.regions == layout.regions


@pytest.mark.parametrize("at", range(4, 16))
@pytest.mark.parametrize("bit", [0, 3, 7])
def test_each_byte_of_a_backend_is_checked_before_anything_is_written(native: Native, at: int, bit: int) -> None:
    layout = two_sites(0x10, 0x20)
    old = layout.read(BACKEND + at, 1)[0]
    refused(native, layout.changed(BACKEND + at, bytes([old ^ 1 << bit])), "bad_magic" if at < 8 else "bad_checksum", 1)


def test_a_backend_that_the_table_does_not_know_is_none(native: Native) -> None:
    layout = one_site("call", CLI)
    copy = BACKEND + 0x40
    refused(native, replace(layout.changed(copy, layout.read(BACKEND, 16)), backend=copy), "bad_magic", 1)


def test_a_site_in_inline_code_is_refused(native: Native) -> None:
    layout = two_sites(0x10, 0x20)
    inside = layout.sites[1] + 1
    record = struct.pack("<iI", inside - RECORD, 2)
    refused(native, layout.changed(RECORD, record).with_backends(BACKEND), "overlap", 1)


def test_sites_beside_inline_code_are_redirected(native: Native) -> None:
    layout = two_sites(0x10, 0x20)
    for beside in (layout.sites[0] - 2, layout.sites[1] + 5):
        record = struct.pack("<iI", beside - RECORD, 2)
        assert both(native, layout.changed(RECORD, record).with_backends(BACKEND))[0] == Status("ok", 0)


def test_a_site_in_a_backend_is_refused(native: Native) -> None:
    regions, sections = [(LOW, b"\xcc" * SIZE)], [(BACKEND - 0x40, 0x100), (TEXT, 0x100)]
    layout = lay_out(regions, TABLE, BACKEND, sections, [Op((1, 0x80))], [Site(0, 0x3E, "call", 0)], [CLI])
    assert layout.sites == (BACKEND - 2,)
    layout = layout.changed(BACKEND, struct.pack("<II", 0x45425042, 1)).with_backends(BACKEND)
    refused(native, layout, "overlap", 0)


@pytest.mark.parametrize("start", [TABLE, TABLE + 8, TABLE + 0x30])
def test_a_section_that_covers_the_table_is_refused(native: Native, start: int) -> None:
    layout = lay_out([(LOW, b"\xcc" * SIZE)], TABLE, BACKEND, [(start, 0x40), (TEXT, 0x100)], [], [], [])
    refused(native, layout, "overlap", 0)


def test_inline_code_in_the_table_is_refused(native: Native) -> None:
    layout = one_site("call", CLI)
    record = struct.pack("<iI", TABLE + 8 - RECORD, 2)
    refused(native, layout.changed(RECORD, record).with_backends(BACKEND), "overlap", 0)


def test_a_backend_in_the_table_is_refused(native: Native) -> None:
    ops = [Op((0, 0x80))] * 8
    regions, sections = [(LOW, b"\xcc" * SIZE)], [(TEXT, 0x100), (DATA, 0x100)]
    layout = lay_out(regions, TABLE, BACKEND, sections, ops, [], [Way()] * 8)
    head = dtype("table", "<").itemsize + 2 * dtype("section", "<").itemsize
    rows = layout.table.ops.copy()
    rows["function_section"] = 0xFFFF
    size = dtype("backend", "<").itemsize + 8 * 8
    content = struct.pack("<II", 0x45425042, 8) + bytes(size - 8)
    rows = np.frombuffer(content.ljust(8 * 12, b"\xff")[: 8 * 12], rows.dtype)
    table = replace(layout.table, ops=rows)
    inner = replace(layout.with_table(table), backend=TABLE + head)
    status, after = both(native, inner.with_backends(TABLE + head))
    assert status.error in ("overlap", "bad_bounds")
    assert after.regions == inner.with_backends(TABLE + head).regions


def test_an_error_of_a_switch_leaves_all_as_it_was(native: Native) -> None:
    """Whatever byte of a backend is wrong."""
    for seed in range(40):
        layout = from_seed(random.Random(seed), [LOW], X86_64)
        status, fixed = both(native, layout)
        if status.error != "ok":
            continue
        for at in range(8 + 8 * len(layout.table.ops)):
            wrong = fixed.changed(layout.backend + at, bytes([fixed.read(layout.backend + at, 1)[0] ^ 0x10]))
            for origin, backend in ((layout.backend, 0), (0, layout.backend)):
                found, after = native.switched(wrong, origin, backend)
                assert found.error in ("bad_magic", "bad_checksum")
                assert after.regions == wrong.regions


def test_forms_that_hold_a_site_are_all_refused(native: Native) -> None:
    for form in FORMS:
        layout = one_site(form, CLI)
        record = struct.pack("<iI", layout.sites[0] - RECORD, 2)
        assert both(native, layout.changed(RECORD, record).with_backends(BACKEND))[0].error == "overlap", form
