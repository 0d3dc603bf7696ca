"""The fixup run again: from backend to backend, back to what was linked, and after an error."""

import random
import struct
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings

from buildplug.runtime.memory import Status
from buildplug.tables.sites_format import ERRORS
from tests.layouts import FORMS, LOW, Layout, Way, from_seed
from tests.runtime.native import (
    BACKEND,
    CLI,
    FUNCTION,
    INLINE,
    KEEP,
    LONG,
    NOTHING,
    TEXT,
    Native,
    both,
    one_site,
    seeds,
    two_sites,
)


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
    both_there = both_there.with_backends(BACKEND, other)
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
