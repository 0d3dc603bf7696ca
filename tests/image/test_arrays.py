"""What is done with many records and values at once, compared with numpy's own."""

from fnmatch import fnmatchcase
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from buildplug.image import headers, names
from buildplug.image.elf import RELOCATION
from buildplug.image.headers import FEW, Array, distinct, joined, name_lengths, within
from buildplug.image.name_patterns import matching
from buildplug.image.names import Names

VALUES = arrays("u8", st.integers(0, 20), elements=st.integers(0, 2**64 - 1) | st.integers(0, 5))


@given(VALUES, VALUES)
def test_within_is_isin(values: Array, choices: Array) -> None:
    assert np.array_equal(within(values, choices), np.isin(values, choices))


@given(VALUES)
def test_distinct_is_unique(values: Array) -> None:
    assert np.array_equal(distinct(values), np.unique(values))


@given(st.lists(VALUES, max_size=4))
def test_joined_is_concatenate(columns: list[Array]) -> None:
    parts = [np.zeros(len(column), RELOCATION) for column in columns]
    for part, column in zip(parts, columns, strict=True):
        part["offset"], part["section"] = column, np.arange(len(column))
    whole = joined(parts, RELOCATION)
    assert whole.dtype == RELOCATION
    assert np.array_equal(whole, np.concatenate([np.zeros(0, RELOCATION), *parts]))


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\0", b"x")), min_size=1, max_size=8))
def test_a_name_is_found_among_names(texts: list[bytes]) -> None:
    known = Names.of(texts)
    for text in (*texts, b"absent"):
        assert known.equal(text).tolist() == [number for number, each in enumerate(texts) if each == text]


ALIKE = st.builds(
    bytes.__add__, st.integers(0, 30).map(lambda count: b"a" * count), st.sampled_from([b"", b"b", b"\xff"])
)


@given(
    st.lists(ALIKE | st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"\xff")), max_size=12),
    st.sampled_from([names.WIDEST, 0]),
)
def test_order_of_names_is_that_of_their_bytes(texts: list[bytes], widest: int) -> None:
    with patch.object(names, "WIDEST", widest):
        order = Names.of(texts).order.tolist()
    assert order == sorted(range(len(texts)), key=texts.__getitem__)


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\0", b"x")), max_size=8))
def test_joined_names_each_end_with_a_zero(texts: list[bytes]) -> None:
    assert Names.of(texts).joined() == b"".join(text + b"\0" for text in texts)


TEXTS = st.lists(st.text("ab", max_size=12).map(str.encode), max_size=8)


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_the_names_of_several_tables_follow_each_other(parts: list[list[bytes]]) -> None:
    made = Names.joining([Names.of(texts) for texts in parts])
    assert made.texts() == [text for texts in parts for text in texts]
    assert made.lengths.tolist() == list(map(len, made.texts()))


@given(TEXTS)
def test_all_names_that_equal_another_are_repeated(texts: list[bytes]) -> None:
    more_than_once = {at for at, text in enumerate(texts) if texts.count(text) > 1}
    assert more_than_once <= set(Names.of(texts).repeated.tolist())


@given(
    st.lists(st.text("ab_.", max_size=6).map(str.encode), min_size=1, max_size=8),
    st.lists(st.text("ab_.*?[", min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from([0, 1, FEW]),
    st.sampled_from([0, names.SPARSE]),
)
def test_names_match_patterns_as_each_alone_does(
    texts: list[bytes], patterns: list[str], few: int, sparse: int
) -> None:
    """Searched for in the string table as long as they are few, or looked at one by one."""
    expected = [any(fnmatchcase(text.decode(), glob) for glob in patterns) for text in texts]
    with patch.multiple(names, FEW=few, SPARSE=sparse):
        assert matching(Names.of(texts), patterns).tolist() == expected


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=12))
def test_lengths_of_names_are_to_the_next_zero_byte(strings: bytes, starts: list[int]) -> None:
    strings = strings.replace(b"\x01", b"\0")
    inside = [start for start in starts if start <= len(strings)]
    expected = [(strings + b"\0").index(b"\0", start) - start for start in inside]
    assert name_lengths(np.frombuffer(strings, "u1"), np.array(inside, "u4")).tolist() == expected


@given(st.lists(st.binary(max_size=6).map(lambda text: text.replace(b"\0", b"x")), min_size=1, max_size=8), st.data())
def test_lengths_of_names_in_a_table_of_all_of_them_need_no_search(texts: list[bytes], data: st.DataObject) -> None:
    strings = b"\0".join([b"", *texts, b""])
    firsts = np.flatnonzero(np.frombuffer(strings, "u1") == 0)[:-1] + 1
    shared = data.draw(st.lists(st.integers(1, len(strings) - 1)))
    starts = np.append(firsts, shared).astype("u4")
    expected = [strings.index(b"\0", start) - start for start in starts.tolist()]
    with patch.object(headers, "_found_ends", side_effect=AssertionError):
        assert name_lengths(np.frombuffer(strings, "u1"), starts).tolist() == expected
