"""The geometry of the section map: one scale, both links alike, no two labels on one line."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from buildplug.record.section_map import CUT, LINE, THIN, Drawing, draw

EXTENTS = st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 24))
PAIRS = st.tuples(EXTENTS | st.none(), EXTENTS | st.none()).filter(any)
SECTIONS = st.lists(PAIRS, min_size=1, max_size=30)


@given(SECTIONS)
def test_bars_have_the_scale_of_the_drawing_and_lie_in_it(sections: list[tuple[tuple[int, int] | None, ...]]) -> None:
    drawing = draw([(pair[0], pair[1]) for pair in sections])
    for side, column in enumerate(drawing.columns):
        assert sorted(bar.index for bar in column) == [i for i, pair in enumerate(sections) if pair[side]]
        for bar in column:
            extent = sections[bar.index][side]
            assert extent is not None
            assert abs(bar.height - max(extent[1] * drawing.scale, THIN)) < 1e-6
            assert bar.top > -1e-6
            assert bar.top + bar.height < drawing.height + THIN + 1e-6


@given(SECTIONS)
def test_labels_stand_a_line_apart_inside_the_drawing(sections: list[tuple[tuple[int, int] | None, ...]]) -> None:
    drawing = draw([(pair[0], pair[1]) for pair in sections])
    for column in drawing.columns:
        heights = [bar.label for bar in column]
        assert all(b - a > LINE - 1e-6 for a, b in pairwise(heights))
        assert all(LINE / 2 - 1e-6 < at < drawing.height - LINE / 2 + 1e-6 for at in heights)


@given(SECTIONS, st.integers(1, 1 << 20))
def test_what_stands_at_one_address_stands_at_one_height(
    sections: list[tuple[tuple[int, int] | None, ...]], at: int
) -> None:
    drawing = draw([*((pair[0], pair[1]) for pair in sections), ((at, 5), None), (None, (at, 900))])
    tops = {bar.index: bar.top for column in drawing.columns for bar in column}
    assert tops[len(sections)] == tops[len(sections) + 1]


def tops(drawing: Drawing, side: int = 0) -> list[float]:
    return [bar.top for bar in drawing.columns[side]]


def test_long_gap_is_cut_out_of_both() -> None:
    far = 0xFFFFFFFF81000000
    drawing = draw([((0, 4096), (0, 4096)), ((far, 4096), (far, 4096))])
    assert len(drawing.cuts) == 1
    first, second = tops(drawing)
    assert abs(second - first - 4096 * drawing.scale - CUT) < 1e-6
    assert tops(drawing) == tops(drawing, 1)


def test_short_gap_is_drawn() -> None:
    drawing = draw([((0, 8000), None), ((8100, 100), None)])
    assert drawing.cuts == ()
    assert abs(tops(drawing)[1] - 8100 * drawing.scale) < 1e-6


def test_sections_in_both_links_are_paired() -> None:
    drawing = draw([((0, 10), (0, 10)), (None, (10, 5)), ((10, 10), (15, 10))])
    assert [(a.index, b.index) for a, b in drawing.pairs] == [(0, 0), (2, 2)]


def test_no_sections_make_an_empty_drawing() -> None:
    assert draw([]).columns == ((), ())
