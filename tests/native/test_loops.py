"""The loops in C give what numpy gives, for any input."""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.image import headers, listing
from buildplug.image.headers import Array, sorting
from buildplug.image.names import Names
from buildplug.native import loops
from buildplug.native.hatch_build import compile_loops
from buildplug.tables import kallsyms_tokens, ksyms_names
from buildplug.tables.kallsyms_tokens import BETWEEN
from buildplug.tables.ksyms_format import SHARED
from tests.samples import SAMPLE, buildplug

NAME = st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"a"))
FEW = st.lists(st.sampled_from([b"", b"a", b"aa", b"aaa", b"aaaaaaaa", b"aaaaaaaab", b"b" * 20, b"b" * 19 + b"\xff"]))
NAMES = st.lists(NAME, max_size=80) | FEW
KINDS = ("u1", "u2", "u4", "u8", "i4", "i8", "?")


def test_they_are_compiled_here() -> None:
    assert loops.library() is not None


@given(NAMES)
def test_names_are_measured_joined_and_sorted(texts: list[bytes]) -> None:
    names = Names.of(texts)
    starts, table = names._starts, np.frombuffer(names._strings or b"\0", "u1")
    if texts:
        assert headers.name_lengths(table, starts).tolist() == [len(text) for text in texts]
    assert names.joined() == b"".join(text + b"\0" for text in texts)
    expected = sorted(range(len(texts)), key=texts.__getitem__)
    assert names.order.tolist() == expected == Names.of(texts)._sorted().tolist()


def test_many_names_that_begin_alike_are_sorted() -> None:
    texts = [
        b"%s%d" % (b"the_same_start_of_every_name_" * (number % 3), number * 7919 % 5003) for number in range(5000)
    ]
    assert Names.of(texts).order.tolist() == sorted(range(len(texts)), key=texts.__getitem__)


@given(st.integers(1, 3), st.sampled_from(KINDS), st.integers(0, 700), st.integers(0, 2**32 - 1))
def test_numbers_are_sorted(count: int, kind: str, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    keys = [random.integers(0, 256, (size, 8), "u1").view("u8").reshape(-1).astype(kind) for _ in range(count)]
    keys[-1] &= keys[-1].dtype.type(random.choice([1, 3, 127]))  # many are equal
    assert sorting(*keys).tolist() == np.lexsort(keys).tolist()


@given(NAMES, st.sampled_from([8, 16]))
def test_symbols_are_listed(texts: list[bytes], digits: int) -> None:
    addresses = np.arange(len(texts), dtype="u8") * np.uint64(0x10001)
    letters = np.resize(np.frombuffer(b"TdW", "u1"), len(texts))
    expected = [b"%0*x %c %s\n" % (digits, 0x10001 * at, letters[at], text) for at, text in enumerate(texts)]
    assert listing._lines(addresses, letters, Names.of(texts), digits) == b"".join(expected)


@given(st.integers(0, 60), st.integers(0, 2**32 - 1), st.integers(6, 40))
def test_relocations_that_refer_to_pages_are_found(count: int, seed: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    rows = np.zeros(count, loops.RELA)
    symbols, types = random.integers(0, 9, count).astype("u8"), random.integers(0, 3, count).astype("u8")
    rows["info"], rows["addend"] = symbols << np.uint64(32) | types, random.integers(-(2**40), 2**40, count)
    values = random.integers(0, 2**64, 9, "u8")
    wanted, pages, low = random.integers(0, 2, 9) > 0, random.integers(0, 2, 300) > 0, int(values[0])
    at = (values[symbols] + rows["addend"].astype("u8") - np.uint64(low)) >> np.uint64(shift)
    near = (at < 300) & pages[np.minimum(at, 299)]
    found = loops.find_referring(rows, wanted, values, (low, shift, pages))
    assert found is not None
    assert found.tolist() == np.flatnonzero(wanted[symbols] & (types > 0) & near).tolist()
    assert not count or loops.find_referring(rows, wanted[: int(symbols.max())], values, (low, shift, pages)) is None


@given(NAMES)
def test_starts_are_shared(texts: list[bytes]) -> None:
    ordered = [text.replace(b"\0", b"") for text in sorted(texts)]
    flat = np.frombuffer(b"".join(text + b"\0" for text in ordered), "u1")
    ends = np.flatnonzero(flat == 0)
    starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
    quickly = loops.shared_starts(flat, starts, ends, SHARED)
    assert quickly is not None
    assert quickly.tolist() == ksyms_names._shared(flat, starts, ends).tolist()
    alike = [
        next(at for at in range(256) if one[at : at + 1] != other[at : at + 1] or at in (len(one), 255))
        for one, other in pairwise(ordered)
    ]
    assert quickly.tolist()[1:] == alike


@given(st.binary(max_size=200), st.dictionaries(st.integers(0, 0xFFFF), st.integers(1, 255)), st.booleans())
def test_pairs_are_replaced(text: bytes, pairs: dict[int, int], few: bool) -> None:
    codes = np.frombuffer(text, "u1") & (1 if few else 255)
    merged = np.zeros(1 << 16, "u1")
    for pair, code in pairs.items():
        merged[pair & (0x0101 if few else 0xFFFF)] = code
    quickly = loops.replace_pairs(codes, merged)
    assert quickly is not None
    assert quickly.tolist() == ksyms_names._merge(codes, merged).tolist()


@given(NAMES)
def test_pairs_are_merged(texts: list[bytes]) -> None:
    assert_merged_alike(texts)


def test_pairs_are_merged_until_all_codes_are_used() -> None:
    texts = [b"%s_%d_%s" % (b"xyz" * (number % 4), number * 7919 % 5003, b"z" * (number % 9)) for number in range(3000)]
    assert_merged_alike(texts)


def assert_merged_alike(texts: list[bytes]) -> None:
    flat: Array = np.array([BETWEEN, *(code for text in texts for code in (*text, BETWEEN))], "u2")
    used = np.bincount(flat, minlength=BETWEEN + 1)[:BETWEEN]
    quickly = loops.merge_pairs(flat, used > 0, BETWEEN)
    assert quickly is not None
    codes, pairs = kallsyms_tokens._merged(flat, used)
    assert quickly[0].tolist() == codes.tolist()
    assert quickly[1].tolist() == pairs.tolist()


def test_names_that_share_more_than_the_table_has_are_left_to_numpy() -> None:
    table = np.frombuffer(b"a" * 999 + b"\0", "u1")
    assert loops.name_lengths(table, np.zeros(10, "i8"), 5000) is None
    assert headers.name_lengths(table, np.zeros(10, "i8")).tolist() == [999] * 10


@pytest.mark.parametrize("starts", [[4], [0, 9]])
def test_a_start_outside_of_the_table_is_left_to_numpy(starts: list[int]) -> None:
    assert loops.name_lengths(np.frombuffer(b"abc\0", "u1"), np.array(starts), 1000) is None


def test_a_table_that_does_not_end_is_left_to_numpy() -> None:
    assert loops.name_lengths(np.frombuffer(b"abc", "u1"), np.array([0]), 1000) is None


@pytest.mark.parametrize("content", [None, b"", b"no library"])
def test_what_is_no_library_is_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "lib.so").write_bytes(content)
    monkeypatch.setattr(loops, "COMPILED", tmp_path / "lib.so")
    assert loops.library.__wrapped__() is None


def test_a_library_of_another_version_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "VERSION", loops.VERSION + 1)
    assert loops.library.__wrapped__() is None


def test_without_a_compiler_nothing_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("CC", "/nonexistent/cc"), ("CC", "false"), ("CC", "cc '"), (loops.PURE, "1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not compile_loops(tmp_path / "loops.so")


def test_an_empty_name_of_a_compiler_is_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "")
    assert compile_loops(tmp_path / "loops.so")


def test_what_is_compiled_for_another_machine_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert shutil.which("aarch64-linux-gnu-gcc"), "see Makefile: setup"
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    assert not compile_loops(tmp_path / "loops.so")


def test_the_same_source_compiles_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        assert compile_loops(tmp_path / name / "loops.so")
    one, other = ((tmp_path / name / "loops.so").read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_kernel_has_the_same_bytes_without_them(tmp_path: Path) -> None:
    made = []
    for value in ("", "1"):
        folder = tmp_path / f"build{value}"
        done = buildplug("build", SAMPLE, "--build-dir", folder, env={loops.PURE: value})
        assert done.returncode == 0, done.stderr
        made.append((folder / "vmlinux").read_bytes())
    assert made[0] == made[1]


def test_importing_them_needs_no_compiler() -> None:
    program = "import sys; import buildplug.native.loops; sys.exit('hatchling' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
