"""What it saves to extract tables by two processes: `python -m bench.parallel FOLDER`, with a kernel built in it.

Each process reads for itself what tables share, such as the symbols' names, so that both together take more.
"""

import sys
from pathlib import Path

from bench.costs import best, row, run
from buildplug.base import parallel
from buildplug.config import project
from buildplug.image.elf import Image
from buildplug.tables.format import Contents
from buildplug.tables.registry import format_of

ROUNDS = 5


def extract(root: Path, processes: int) -> None:
    """Makes all tables of the kernel, without writing them."""
    wanted = project.read(root / "buildplug.toml")
    image = Image(wanted.draft)

    def make(number: int) -> Contents:
        table = wanted.tables[number]
        return format_of(table.rule).make(image, table.rule, table.ops)[0]

    made = parallel.each(make, len(wanted.tables), parallel.LARGE * (processes - 1))
    assert len(made) == len(wanted.tables)


def measure(root: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "bench.parallel", root]
    here = Path(__file__).resolve().parent.parent
    one, two = best(ROUNDS, *(lambda _, n=n: run([*command, n], here) for n in ("1", "2")))
    row("tables by two processes", two.seconds, one.seconds, "s", "over one, elapsed")
    row("... processor", two.processor, one.processor, "s", "")
    row("... memory", two.peak, one.peak, "MiB", "of the larger process")


if __name__ == "__main__":
    root_ = Path(sys.argv[1]).absolute()
    if len(sys.argv) > 2:
        extract(root_, int(sys.argv[2]))
    else:
        measure(root_)
