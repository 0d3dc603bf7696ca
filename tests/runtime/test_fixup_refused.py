"""Tables and backends that the fixup refuses."""

from dataclasses import replace

import numpy as np
import pytest

from buildplug.runtime.memory import Status
from tests.layouts import FORMS, LOW, SIZE, Op, Site, lay_out
from tests.runtime.native import BACKEND, CLI, OP, SECTIONS, TABLE, TEXT, Native, both, one_site, two_sites


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


def test_an_empty_table_is_fine_with_any_backend(native: Native) -> None:
    layout = lay_out([(LOW, bytes(SIZE))], TABLE, BACKEND, [], [], [], [])
    for ops in (0, 7):
        status, after = both(native, layout.changed(BACKEND + 4, bytes([ops])))
        assert (status, after.regions[0][1][:0x200]) == (Status("ok", 0), layout.regions[0][1][:0x200])


def test_a_backend_of_another_number_of_ops_is_refused(native: Native) -> None:
    assert both(native, one_site("call", CLI).changed(BACKEND + 4, b"\x02"))[0] == Status("bad_magic", 1)


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [(0, b"BPTC", "bad_magic"), (12, b"\1\0", "bad_version"), (14, b"\xb7\0", "bad_version"), (8, b"\1", "bad_size"),
     (16, b"\1\0", "bad_size"), (20, b"\xff\xff\xff\xff", "bad_size"), (4, bytes(4), "bad_checksum"),
     (24, b"\1", "bad_version"), (28, b"\2", "bad_size"), (32, b"\1", "bad_checksum")],
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
