"""Whether tables are worth extracting at the same time: `python -m bench.parallel FOLDER`, with a kernel built in it.

All tables are extracted from the draft by one thread, and by two. Most of the work is numpy's, which lets other threads
run; but each needs its own memory for that, and what they share is waited for.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.costs import best, row, run
from buildplug.config import project
from buildplug.config.project import WantedTable
from buildplug.image.elf import Image
from buildplug.tables.registry import format_of

ROUNDS = 5


def extract(root: Path, threads: int) -> None:
    """Makes all tables of the kernel, without writing them. The longest ones go first."""
    wanted = project.read(root / "buildplug.toml")
    image = Image(wanted.draft)

    def make(table: WantedTable) -> object:
        return format_of(table.rule).make(image, table.rule, table.ops)

    tables = sorted(wanted.tables, key=lambda table: table.rule.format not in ("ksyms", "relocs"))
    if threads == 1:
        made = list(map(make, tables))
    else:
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(make, tables))
    assert len(made) == len(tables)


def measure(root: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "bench.parallel", root]
    here = Path(__file__).resolve().parent.parent
    one, two = best(ROUNDS, *(lambda _, n=n: run([*command, n], here) for n in ("1", "2")))
    row("tables by two threads", two.seconds, one.seconds, "s", "over one thread, elapsed")
    row("... processor", two.processor, one.processor, "s", "")
    row("... memory", two.peak, one.peak, "MiB", "")


if __name__ == "__main__":
    root_ = Path(sys.argv[1]).absolute()
    if len(sys.argv) > 2:
        extract(root_, int(sys.argv[2]))
    else:
        measure(root_)
