"""Our table of symbols compared with Linux's kallsyms, on the symbols of the cached small Linux: seconds, bytes,
instructions.

`python -m bench.ksyms [VMLINUX]`; the image's tree must have scripts/kallsyms built. Both sides make an object from the
same symbols. Seconds are processor time, the lowest of several rounds, as the machine is shared.
"""

import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import ksyms_lookups, ksyms_table
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.image.elf import Image
from buildplug.tables import ksyms_codec
from buildplug.tables.ksyms_format import Ksyms

ROUNDS = 9
OURS = f"{sys.executable} {Path(ksyms_table.__file__)}"
BUILDPLUG = f"{sys.executable} -m buildplug"
OPTIONS = "--all-symbols --absolute-percpu --base-relative"
ASSEMBLE = "gcc -I. -c {0}.S -o {0}.o"


def seconds(folder: Path, commands: dict[str, str]) -> dict[str, float]:
    """The lowest processor time of each shell command, seconds, in rounds that run all of them."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    least = dict.fromkeys(commands, float("inf"))
    for _ in range(ROUNDS):
        for what, command in commands.items():
            start = used()
            run(["sh", "-ec", command], folder, what)
            least[what] = min(least[what], used() - start)
    return least


def measure_seconds(vmlinux: Path, folder: Path) -> None:
    """Prints the seconds of both sides, from the image and from the list of symbols."""
    tree = vmlinux.parent
    listed = f"NM=nm sh {tree}/scripts/mksysmap {vmlinux} symbols"
    kallsyms = f"{tree}/scripts/kallsyms {OPTIONS} symbols >kallsyms.S"
    assemble, assemble_ours = ASSEMBLE.format("kallsyms"), ASSEMBLE.format("table")
    commands = {
        "image to object": (f"{listed}; {kallsyms}; {assemble}", f"{OURS} image . {vmlinux}; {assemble_ours}"),
        "symbols to object": (f"{kallsyms}; {assemble}", f"{OURS} symbols .; {assemble_ours}"),
        "image to the assembly of kallsyms": (
            f"{listed}; {kallsyms}",
            f"{BUILDPLUG} ksyms {vmlinux} --format kallsyms >ours.S; cmp ours.S kallsyms.S",
        ),
    }
    took = seconds(folder, {f"{way} {i}": pair[i] for way, pair in commands.items() for i in (0, 1)})
    for way in commands:
        theirs, ours = took[f"{way} 0"], took[f"{way} 1"]
        print(f"seconds, {way}: kallsyms {theirs:.3f}, ours {ours:.3f}: {ours / theirs:.2f}", flush=True)


def kallsyms_parts(folder: Path) -> dict[str, int]:
    """The bytes of each part of kallsyms.o."""
    lines = [line.split() for line in run(["nm", "-n", "kallsyms.o"], folder, "find tables").output.splitlines()]
    starts = {line[2].removeprefix("kallsyms_"): int(line[0], 16) for line in lines if len(line) == 3}
    sizes = run(["size", "-A", "kallsyms.o"], folder, "measure tables").output.splitlines()
    size = next(int(line.split()[1]) for line in sizes if line.startswith(".rodata"))
    return {name: end - starts[name] for name, end in zip(starts, [*starts.values(), size][1:], strict=True)}


def measure_bytes(table: Ksyms, folder: Path) -> None:
    """Prints the bytes of both sides, with what only one of them has."""
    parts = kallsyms_parts(folder)
    size, by_name = sum(parts.values()), parts["seqs_of_names"]
    theirs = parts["offsets"] // 4
    if theirs != len(table.rows):
        raise BuildplugError("bench", f"expected the same symbols, found {theirs} and {len(table.rows)}")
    unsized = table.rows.copy()
    unsized["size"] = 0
    count = len(table.rows)
    for what, a, ours in (
        ("address -> name, name -> address (ours: and sizes)", size, table),
        ("address -> name (ours: and sizes)", size - by_name, replace(table, by_name=False)),
        ("address -> name, our sizes all 0", size - by_name, replace(table, by_name=False, rows=unsized)),
    ):
        b = len(ksyms_codec.encode(ours))
        print(f"bytes, {what}: kallsyms {a} ({a / count:.1f} a symbol), ours {b} ({b / count:.1f}): {b / a:.2f}")


@contextmanager
def beside_linux(vmlinux: Path | None) -> Iterator[tuple[Path, Path]]:
    """The built Linux, by default the small one, and a folder where its assembly finds the header that it includes.
    Raises BuildplugError if there is none."""
    from tests.linux_image import cached

    vmlinux = vmlinux or cached()
    if vmlinux is None:
        raise BuildplugError("bench", "expected a built Linux, found none", "python -m tests.linux_image")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "asm").mkdir()
        (folder / "asm/bitsperlong.h").write_text("#define BITS_PER_LONG 64\n")
        yield vmlinux, folder


def main(arguments: Sequence[str]) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    with beside_linux(Path(arguments[0]) if arguments else None) as (vmlinux, folder):
        table = ksyms_table.from_image(vmlinux)
        ksyms_table.save(folder, table)
        print(f"{vmlinux}: {len(table.rows)} symbols")
        measure_seconds(vmlinux, folder)
        measure_bytes(table, folder)
        ksyms_lookups.measure(vmlinux.parent, Image(vmlinux).address_of("_text") or 0, table, folder)
        ksyms_lookups.measure_code(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
