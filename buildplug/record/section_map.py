"""The sections of two links side by side, to scale: where each bar, ribbon and label of the drawing goes.

One scale, in pixels a byte, holds for both links and the whole drawing. Gaps without sections that would leave no room
for the rest are cut out, in both links alike, so that what stands at one address stands at one height.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE = 18  # of a label, pixels
HEIGHT = 560  # of the whole, pixels, unless its labels need more
CUT = 26  # what is left of a gap, pixels
SHARE = 8  # a gap that is longer than all sections together by this share of them is cut
THIN = 1.0  # of a bar that the scale would make thinner, pixels

Extent = tuple[int, int]  # address, size in bytes


@dataclass(frozen=True)
class Bar:
    """A section in one link; `label` is the height at which its name stands, the others are of the bar itself."""

    index: int  # of the section
    top: float
    height: float
    label: float


@dataclass(frozen=True)
class Drawing:
    """Pixels from the top. `cuts`: where gaps are cut out; `pairs`: a section's bars in the first and second link."""

    height: float
    scale: float  # pixels a byte
    cuts: tuple[float, ...]
    columns: tuple[tuple[Bar, ...], tuple[Bar, ...]]
    pairs: tuple[tuple[Bar, Bar], ...]


def draw(sections: Sequence[tuple[Extent | None, Extent | None]]) -> Drawing:
    """The drawing of sections that have an extent in either link or in both."""
    extents = [extent for pair in sections for extent in pair if extent]
    runs = _runs(extents)
    length = sum(end - start for start, end in runs) or 1
    lines = max(sum(pair[side] is not None for pair in sections) for side in (0, 1)) if sections else 0
    height = float(max(HEIGHT, LINE * (lines + 1), 2 * CUT * len(runs)))
    scale = (height - CUT * (len(runs) - 1)) / length
    tops: list[float] = []
    for start, end in runs:
        tops.append(tops[-1] + CUT if tops else 0.0)
        tops.append(tops[-1] + (end - start) * scale)
    starts = dict(zip(runs, tops[::2], strict=True))

    def bars(side: int) -> tuple[Bar, ...]:
        found = []
        for index, pair in enumerate(sections):
            if extent := pair[side]:
                address, size = extent
                run = next((start, end) for start, end in runs if start <= address <= end)
                found.append((index, starts[run] + (address - run[0]) * scale, max(size * scale, THIN)))
        found.sort(key=lambda bar: (bar[1], bar[0]))
        labels = _spread([top + tall / 2 for _, top, tall in found], height)
        return tuple(Bar(index, top, tall, at) for (index, top, tall), at in zip(found, labels, strict=True))

    columns = bars(0), bars(1)
    of = [{bar.index: bar for bar in column} for column in columns]
    pairs = tuple((of[0][index], of[1][index]) for index in sorted(of[0].keys() & of[1].keys()))
    return Drawing(height, scale, tuple(top + CUT / 2 for top in tops[1:-1:2]), columns, pairs)


def _runs(extents: Iterable[Extent]) -> list[Extent]:
    """Ranges of addresses (start, end) between the gaps that are cut out."""
    ordered = sorted(extents)
    longest = sum(size for _, size in ordered) // SHARE
    runs: list[Extent] = []
    for address, size in ordered:
        if runs and address - runs[-1][1] <= longest:
            runs[-1] = runs[-1][0], max(runs[-1][1], address + size)
        else:
            runs.append((address, address + size))
    return runs


def _spread(wanted: list[float], height: float) -> list[float]:
    """The heights of labels, a line apart, as near as can be to those that are wanted in ascending order."""
    groups: list[tuple[float, int]] = []  # that stand close: sum of their heights, each less the lines above; how many
    for index, at in enumerate(wanted):
        total, count = at - index * LINE, 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            more, labels = groups.pop()
            total, count = total + more, count + labels
        groups.append((total, count))
    means = [total / count for total, count in groups for _ in range(count)]
    last = height - LINE / 2 - LINE * (len(wanted) - 1)
    return [min(max(mean, LINE / 2), last) + index * LINE for index, mean in enumerate(means)]
