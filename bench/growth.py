"""How the cost of a link with tables grows with relocations, sections and tables: `python -m bench.growth [FILE.svg]`.

Each kernel is linked again after its first link, as after a change. Seconds are those of processors. The exponent is
the slope of a line through the points in logarithmic scales: 1 is linear. The plot has ours and the linker alone.
"""

import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.costs import BUILDPLUG, HUGE, best, reading, row, run
from bench.small import FUNCTION, SCRIPT

ROUNDS = 3
CALLER = """
	.text
	.globl f{0}
	.type f{0}, @function
f{0}:
	call f{1}
	movl s{0}(%rip), %eax
	jmp f{1}
	.size f{0}, . - f{0}
	.data
s{0}:
	.quad f{0}, s{0}
"""
RELOCATIONS = 5  # of a caller
CALLERS = 20_000  # of the kernel with many tables
SYMBOLS = 205_000  # two of a caller
WIDTH, HEIGHT, LEFT, TOP = 300, 260, 56, 44  # of a panel's axes and their place, in the plot's units
PANEL = LEFT + WIDTH + 24


WORDS = ("-T", "k.lds", "--no-warn-rwx-segments", "k.o", "-o")


@dataclass(frozen=True)
class Series:
    """A kernel in several sizes. `make` gives the assembly and the rules of its tables."""

    name: str
    sizes: tuple[int, ...]
    make: Callable[[int], tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Curve:
    """Seconds by size, ours and the linker's."""

    series: Series
    ours: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def exponent(self) -> float:
        return slope(self.series.sizes, self.ours)


def callers(count: int) -> str:
    return "".join(CALLER.format(number, (number + 7) % count) for number in range(count))


def sections(count: int) -> str:
    return "".join(map(FUNCTION.format, range(count)))


SERIES = (
    Series("relocations", (10_000, 30_000, 100_000, 300_000, 1_000_000),
           lambda size: (callers(size // RELOCATIONS), ["ksyms", "relocs"])),
    Series("sections", (1_000, 4_000, 16_000, 66_000), lambda size: (sections(size), ["ksyms"])),
    Series("tables", (1, 2, 4, 8, 16), lambda size: (callers(CALLERS), ["functions"] * size)),
)  # fmt: skip


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent by which seconds grow, by least squares."""
    xs, ys = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    middle = sum(xs) / len(xs)
    return sum((x - middle) * y for x, y in zip(xs, ys, strict=True)) / sum((x - middle) ** 2 for x in xs)


def measured(series: Series, folder: Path) -> Curve:
    ours, plain = [], []
    for size in series.sizes:
        again, alone = _costs(folder / f"{series.name}{size}", *series.make(size))
        row(f"{size:,} {series.name}", again, alone, "s", "of processors, again, over the linker alone")
        ours.append(again)
        plain.append(alone)
    curve = Curve(series, tuple(ours), tuple(plain))
    row(f"growth with {series.name}", curve.exponent, 1, "", "exponent; 1 is linear")
    return curve


def _costs(folder: Path, text: str, rules: Sequence[str]) -> tuple[float, float]:
    """The seconds of a link again, and of the linker alone."""
    folder.mkdir()
    tables = "".join(f'[[table]]\nrule = "{rule}"\nname = "{rule}{number}"\n' for number, rule in enumerate(rules))
    (folder / "buildplug.toml").write_text(f'[kernel]\nname = "k.elf"\n{tables}')
    (folder / "k.lds").write_text(SCRIPT)
    start = ".text; .globl _start; .type _start, @function; _start: ret; .size _start, 1\n"
    (folder / "k.S").write_text(f'{start}{text}\n.section .note.GNU-stack, ""\n')
    run(["gcc", "-c", "k.S"], folder)
    ours = [*BUILDPLUG, "ld", *WORDS, "k.elf"]
    run(ours, folder)
    costs = best(ROUNDS, lambda _: run(ours, folder), lambda _: run(["ld", *WORDS, "plain"], folder))
    return costs[0].processor, costs[1].processor


def plot(curves: Sequence[Curve]) -> str:
    """The curves as SVG, a panel each, in logarithmic scales."""
    seconds = [second for curve in curves for second in (*curve.ours, *curve.plain)]
    low, high = (math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds))))

    def y(second: float) -> float:
        return TOP + HEIGHT * (1 - (math.log10(second) - low) / (high - low))

    panels = []
    for number, curve in enumerate(curves):
        sizes, left = curve.series.sizes, LEFT + number * PANEL
        span = math.log(sizes[-1] / sizes[0])
        places = [left + WIDTH * math.log(size / sizes[0]) / span for size in sizes]
        lines = {name: list(zip(places, map(y, each), strict=True)) for name, each in
                 (("ours", curve.ours), ("plain", curve.plain))}  # fmt: skip
        ticks = [(place, f"{size:,}") for place, size in zip(places, sizes, strict=True)]
        panels.append({"left": left, "name": curve.series.name, "exponent": curve.exponent, "lines": lines,
                       "ticks": ticks})  # fmt: skip
    grid = [(y(10**power), f"{10**power:g} s") for power in range(low, high + 1)]
    env = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True)
    return env.get_template("growth.svg.j2").render(
        panels=panels, grid=grid, width=PANEL * len(panels) + 8, height=TOP + HEIGHT + 60, top=TOP,
        bottom=TOP + HEIGHT, across=WIDTH,
    )  # fmt: skip


def main(arguments: Sequence[str] = ()) -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name) / "symbols"
        again, alone = _costs(folder, callers(SYMBOLS // 2), ["ksyms"])
        row(f"ksyms, {SYMBOLS:,} symbols", again, alone, "s", "of processors, again, over the linker alone; aim: 2.0")
        huge = best(ROUNDS, lambda _: run(["ld", *WORDS, "plain"], folder, **HUGE))[0]
        row("... with huge pages", again, huge.processor, "s", "over the linker alone, if it has them, too")
        image, ours = folder / "k.elf", ("buildplug.ld.final_link", "buildplug.tables.ksyms")
        limit, imports = best(
            ROUNDS, lambda _: run(reading(image), folder), lambda _: run(reading(image, *ours), folder)
        )
        row("... the limit", alone + limit.processor, alone, "s", "a link, and Python that reads the file once")
        row("... with our imports", alone + imports.processor, alone, "s", "the same, and all that such a link imports")
        curves = [measured(series, Path(name)) for series in SERIES]
    for path in map(Path, arguments):
        path.write_text(plot(curves))


if __name__ == "__main__":
    main(sys.argv[1:])
