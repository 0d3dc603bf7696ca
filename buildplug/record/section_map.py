"""The map of two links' sections side by side, to scale: the positions of its bars, ribbons and labels.

Both links have the same scale, in pixels per byte. Large gaps without sections are cut out of both alike, so that the
same address is at the same height.
"""

from collections.abc import Iterable, Sequence

from buildplug.base.records import frozen

LINE = 18  # height of a label, pixels
HEIGHT = 560  # height of the drawing, pixels, unless its labels need more
CUT = 26  # height of a cut gap, pixels
SHARE = 8  # gaps longer than 1/SHARE of the size of all sections are cut
THIN = 1.0  # minimum height of a bar, pixels

Extent = tuple[int, int]  # address, size in bytes


@frozen
class Bar:
    """A section in one link. Pixels; `label`: the position of its name."""

    index: int  # the section's, in draw()
    top: float
    height: float
    label: float


@frozen
class Drawing:
    """Pixels from the top. `cuts`: positions of cut gaps; `pairs`: a section's bars in the first and second link."""

    height: float
    scale: float  # pixels per byte
    cuts: tuple[float, ...]
    columns: tuple[tuple[Bar, ...], tuple[Bar, ...]]
    pairs: tuple[tuple[Bar, Bar], ...]


def draw(sections: Sequence[tuple[Extent | None, Extent | None]]) -> Drawing:
    """Draws sections, each with its extents in the first and second link."""
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
    """The address ranges (start, end) between cut gaps."""
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
    """Positions of labels, at least a line apart, as close as possible to the wanted ones, which are ascending."""
    groups: list[tuple[float, int]] = []  # adjacent labels: sum of their positions less the lines above; their number
    for index, at in enumerate(wanted):
        total, count = at - index * LINE, 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            more, labels = groups.pop()
            total, count = total + more, count + labels
        groups.append((total, count))
    means = [total / count for total, count in groups for _ in range(count)]
    last = height - LINE / 2 - LINE * (len(wanted) - 1)
    return [min(max(mean, LINE / 2), last) + index * LINE for index, mean in enumerate(means)]
