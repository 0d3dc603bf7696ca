"""The costs of buildplug compared with its peers, on this machine: `python -m bench.costs [FOLDER]`.

Makes a kernel with a million relocations in FOLDER (default: a temporary one) and prints a table of ratios, ours to
the peer's: less is better. Each is from the best of several alternating runs, as absolute seconds mean little on a
shared machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import ninja

from bench import kernel

ROUNDS = 5
BUILDPLUG = (str(Path(sys.executable).with_name("buildplug")),)  # the installed command
NINJA = str(Path(ninja.BIN_DIR) / "ninja")
LINUX_SITE = 16  # bytes: sizeof(struct paravirt_patch_site) on x86_64
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # with which our programs start, and what they run
ROOM = 60  # MiB that an extraction may take beside the file
PASSES = ("draft", "extract", "generate", "assemble", "relink", "verify")


@dataclass(frozen=True)
class Cost:
    """The costs of a process and of those that it waited for."""

    seconds: float
    peak: float  # resident memory of the largest, MiB
    processor: float = 0.0  # seconds of all processors


def run(command: Sequence[str | Path], cwd: Path, **more: str) -> Cost:
    """Runs a command, which must succeed, with `more` variables, and discards its output. Python keeps the bytecode of
    ours, as when it is installed, whatever the environment says."""
    words = [str(word) for word in command]
    launched = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), *words]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more
    done = subprocess.run(launched, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, check=True)
    seconds, processor, peak, status = map(float, done.stdout.split())
    if status:
        sys.exit(f"bench: {' '.join(words)}: exit status {status:.0f}")
    return Cost(seconds, peak / 1024, processor)


def best(rounds: int, *runs: Callable[[int], Cost]) -> list[Cost]:
    """The lowest cost of each, in alternating runs."""
    costs = [[once(number) for once in runs] for number in range(rounds)]
    columns = zip(*costs, strict=True)
    return [Cost(*(min(values) for values in zip(*map(astuple, column), strict=True))) for column in columns]


def reading(image: Path, *libraries: str) -> list[str]:
    """The command that does what no program in Python with these libraries does without: it imports them, as we import
    numpy without its threads, and reads a file once."""
    imports = f"import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; import {', '.join(('numpy', *libraries))}"
    return [sys.executable, "-c", f"{imports}, elftools.elf.structs; open({str(image)!r}, 'rb').read()"]


def row(figure: str, ours: float, peer: float, unit: str, how: str) -> None:
    print(f"{figure:<26}{ours:>10.3f}{peer:>10.3f}{unit:>5}{ours / peer:>8.3f}  {how}", flush=True)


def measure(folder: Path) -> None:
    root = folder / "kernel"
    if not root.exists():
        kernel.write(root)
    run([*BUILDPLUG, "build"], root)
    print(f"{'figure':<26}{'ours':>10}{'peer':>10}{'':>5}{'ratio':>8}  how")
    extraction(root)
    stage(root)
    ours, peer = best(
        ROUNDS,
        lambda _: run([*BUILDPLUG, "build"], root),
        lambda _: run([NINJA, "-f", "build/build.ninja"], root),
    )
    row("build, nothing to do", ours.seconds * 1000, peer.seconds * 1000, "ms", "over ninja with nothing to do")
    row("... processor", ours.processor * 1000, peer.processor * 1000, "ms", "aim: 60")
    with_lld(folder / "lld")


def extraction(root: Path) -> None:
    """The cost of a process that reads the relocations of an image."""
    image = root / "build" / "vmlinux.draft"
    ours, readelf, pyelftools, limit, imports = best(
        ROUNDS,
        lambda _: run([*BUILDPLUG, "extract", image, "--rule", "paravirt", "--json"], root),
        lambda _: run(["readelf", "-rW", image], root),
        lambda _: run([sys.executable, Path(__file__).with_name("pyelftools.py"), image], root),
        lambda _: run(reading(image), root),
        lambda _: run(reading(image, "argparse", "json", "buildplug.cli.extract"), root),
    )
    count = f"{kernel.RELOCATIONS:,} relocations"
    row("extraction", ours.seconds, readelf.seconds, "s", f"over readelf -rW, {count}")
    row("... processor", ours.processor, readelf.processor, "s", "aim: 0.4")
    row("... the limit", limit.processor, readelf.processor, "s", "Python imports libraries, and reads the file once")
    row("... with our imports", imports.processor, readelf.processor, "s", "the same, and what an extraction imports")
    row("extraction", ours.seconds, pyelftools.seconds, "s", "over pyelftools' iter_relocations()")
    row("extraction, memory", ours.peak, readelf.peak, "MiB", "over readelf -rW")
    most = image.stat().st_size / (1 << 20) + ROOM
    row("... of the file and 60 MiB", ours.peak, most, "MiB", "aim: 1.0")


def stage(root: Path) -> None:
    """The costs of a build after a change that affects the tables, and of the links of the same objects."""
    ours, relocations, huge, plain, records = after_change(root)
    seconds = {name: min(record["seconds"][name] for record in records) for name in PASSES}
    said = ", ".join(f"{name} {seconds[name]:.2f}" for name in PASSES)
    passes = min(sum(record["seconds"][name] for name in PASSES) for record in records)
    row("draft to verify", passes, relocations.seconds, "s", f"over one link with --emit-relocs; {said}")
    row("build after a change", ours.seconds, plain.seconds, "s", "over one plain link; compiles one file, records")
    over_link("build after a change", root, ours, relocations, 2.0)
    row("... with huge pages", ours.processor, huge.processor, "s", "over that link, if it has them, too")
    row("links", records[-1]["links"], 1, "", "over a kernel without tables")
    row("build, memory", ours.peak, plain.peak, "MiB", "over one plain link; its largest process; aim: 2.0")
    table = records[-1]["tables"]["paravirt"]
    row("table, bytes a site", table["bytes"] / table["rows"], LINUX_SITE, "", f"over Linux; {table['rows']} sites")


def with_lld(root: Path) -> None:
    """The same with another linker."""
    if not root.exists():
        kernel.write(root)
        config = root / "buildplug.toml"
        config.write_text(config.read_text().replace('ld = "ld"', 'ld = "ld.lld"'))
    run([*BUILDPLUG, "build"], root)
    ours, relocations, *_ = after_change(root)
    over_link("with lld, after a change", root, ours, relocations, 1.5)


def over_link(name: str, root: Path, ours: Cost, link: Cost, aim: float) -> None:
    """The rows of a build beside a link with --emit-relocs."""
    limit = best(ROUNDS, lambda _: run(reading(root / "build" / "vmlinux", "capstone"), root))[0]
    row(name, ours.seconds, link.seconds, "s", f"over one link with --emit-relocs; aim: {aim}")
    row("... processor", ours.processor, link.processor, "s", f"aim: {aim}")
    least = link.processor + limit.processor
    row("... the limit", least, link.processor, "s", "that link, and Python that reads the file once")


def after_change(root: Path) -> tuple[Cost, Cost, Cost, Cost, list[dict[str, Any]]]:
    """The costs of a build, of the same link with --emit-relocs, of that with huge pages, and of a plain one; and the
    builds' records."""
    records: list[dict[str, Any]] = []

    def build(number: int) -> Cost:
        kernel.change(root, number + 1)
        cost = run([*BUILDPLUG, "build"], root)
        records.append(json.loads((root / "build" / "vmlinux.buildplug.json").read_text()))
        return cost

    def link(number: int, *without: str, **more: str) -> Cost:
        command = [word for word in records[-1]["commands"]["draft"] if word not in without]
        return run([*command[: command.index("-o")], "-o", "build/plain"], root, **more)

    ours, relocations, huge, plain = best(
        ROUNDS, build, link, lambda number: link(number, **HUGE), lambda number: link(number, "--emit-relocs")
    )
    return ours, relocations, huge, plain, records


def main(arguments: Sequence[str]) -> None:
    if arguments:
        measure(Path(arguments[0]).absolute())
    else:
        with tempfile.TemporaryDirectory(prefix="bench.") as name:
            measure(Path(name))


if __name__ == "__main__":
    main(sys.argv[1:])
