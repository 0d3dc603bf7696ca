"""The fixup: C against the reference, byte for byte."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch import x86
from buildplug.tables.sites_format import ERRORS
from tests.conftest import tool
from tests.layouts import HIGH, LOW, corrupted, from_seed
from tests.runtime.native import FLAGS, Native, both, seeds


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
def test_it_does_what_the_reference_does(native: Native, regions: tuple[int, ...]) -> None:
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
def test_it_refuses_what_the_reference_refuses(native: Native, regions: tuple[int, ...]) -> None:
    seen = Counter[str]()

    @settings(max_examples=600)
    @given(seeds)
    def run(seed: int) -> None:
        rng = random.Random(seed)
        layout = from_seed(rng, regions)
        for _ in range(3):
            seen[both(native, corrupted(rng, layout))[0].error] += 1

    run()
    # split is of bp_changes
    assert all(seen[error] for error in ERRORS if error not in ("no_function", "out_of_range", "split")), seen
