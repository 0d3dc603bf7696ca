"""Linux's own link stage compared with ours, on cached small Linuxes: `python -m bench.linux [VERSION | VMLINUX]...`.

Uses a copy of the image's tree; both sides run scripts/link-vmlinux.sh as make does, System.map and sorting included.
A plain link is its first, with an empty kallsyms. Each figure is the best of several alternating runs.

Ours runs without a previous image, and again with one after a function of a page was taken out; for Linux's that is all
the same. Seconds of all processors are what other work on the machine changes least. The last rows but those of memory
are of a whole make after one source file has changed.
"""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from unittest.mock import patch

from bench.costs import BUILDPLUG, HUGE, Cost, best, run
from buildplug.base.data import build_system
from buildplug.linux import kbuild, versions
from tests.linux_image import LINUXES, OLDEST, cached, copy

ROUNDS = 3
CHANGED = "kernel/panic.c"  # a source that every configuration compiles
CHANGE = ".text\n.globl bench_change\n.type bench_change, @function\nbench_change: .fill 4095, 1, 0x90\nret\n"
# A linker that records its command line and its environment, which make has set up.
LD = """#!/bin/sh
case "$*" in *--script=*vmlinux.lds*) env -0 >{0}/environment; printf '%s\\n' "$*" >>{0}/links ;; esac
exec {1} "$@"
"""


def row(figure: str, linux: float, ours: float, unit: str) -> None:
    print(f"{figure:<40}{linux:>10.2f}{ours:>10.2f} {unit:<5}{ours / linux:>7.2f}", flush=True)


def links(folder: Path) -> list[list[str]]:
    """The commands of the links since the last call, as words."""
    log = folder / "links"
    found = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def after_a_change(tree: Path) -> tuple[Cost, Cost]:
    """Make after a function of one source has changed: with Linux's own stage, and with ours."""
    source, numbers = tree / CHANGED, count()
    text = source.read_text()
    make = ["make", "-s", f"-j{os.cpu_count()}", "vmlinux"]

    def timed(plug: Callable[[], None]) -> Cost:
        plug()
        run(make, tree)
        source.unlink()  # it may be a link to the one in the cache
        source.write_text(f"{text}\nstatic int __used bench_changed(void) {{ return {next(numbers)}; }}\n")
        return run(make, tree)

    theirs, ours = best(ROUNDS, lambda _: timed(lambda: kbuild.revert(tree)), lambda _: timed(lambda: plug_in(tree)))
    kbuild.revert(tree)
    return theirs, ours


def plug_in(tree: Path) -> None:
    kbuild.apply(tree, paravirt=False)


def measure(tree: Path, folder: Path) -> None:
    make_theirs, make_ours = after_a_change(tree)
    real = shutil.which("ld")
    # Since 7.2 the kernel's link makes this, of which make then makes vmlinux.
    linked = next(name for name in ("vmlinux.unstripped", "vmlinux") if (tree / f".{name}.cmd").exists())
    (folder / "ld").write_text(LD.format(folder, real))
    (folder / "ld").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    (tree / linked).unlink()
    run(["make", "-s", "vmlinux"], tree)
    theirs = links(folder)
    kept = dict(pair.split("=", 1) for pair in (folder / "environment").read_text().split("\0") if pair)
    os.environ.update(kept)
    script = shlex.split((tree / f".{linked}.cmd").read_text().splitlines()[0].split(":=")[1].split(";")[0])
    unplugged, plugged = folder / "theirs.sh", folder / "ours.sh"
    shutil.copy2(tree / versions.SCRIPT, unplugged)
    plug_in(tree)
    shutil.copy2(tree / versions.SCRIPT, plugged)
    kbuild.revert(tree)
    words = [word for word in theirs[0] if not word.startswith("--strip-debug")]
    at = words.index("-o") + 1
    plain, output = ([*words[:at], name, *words[at + 1 :]] for name in ("plain", linked))
    output = [word for word in output if not word.endswith(".kallsyms.o")]  # since 6.12 the first link has an empty one
    form = versions.stage_of(tree, paravirt=False)
    stage = [*BUILDPLUG, "ld", f"--config={build_system(form.kallsyms)}", "--ld=ld", *output]
    (folder / "change.S").write_text(CHANGE)
    change = str(folder / "change.o")
    run(["gcc", "-c", folder / "change.S", "-o", change], tree)

    def first() -> Cost:
        (tree / linked).replace(folder / "before")  # a virtual machine has given back pages that were just freed
        return run([plugged, *script[1:]], tree)

    def again() -> Cost:
        run([*stage, change], tree)
        links(folder)
        return run([plugged, *script[1:]], tree)

    counts = []
    for once in (first, again):
        once()
        counts.append(len(links(folder)))
    os.environ["PATH"] = os.environ["PATH"].removeprefix(f"{folder}:")
    one, huge, stock, *ours = best(
        ROUNDS,
        lambda _: run([real or "ld", *plain], tree),
        lambda _: run([real or "ld", *plain], tree, **HUGE),
        lambda _: run([unplugged, *script[1:]], tree),
        lambda _: first(),
        lambda _: again(),
    )
    print(f"one plain link: {one.seconds:.2f} s, {one.peak:.1f} MiB; with huge pages: {huge.seconds:.2f} s")
    print(f"{'':<40}{'Linux':>10}{'ours':>10} {'':<5}{'ratio':>7}")
    for when, number, cost in zip(("first", "again"), counts, ours, strict=True):
        row(f"links, {when}", len(theirs), number, "")
        row(f"the script, {when}", stock.seconds, cost.seconds, "s")
        row("  processors", stock.processor, cost.processor, "s")
        row("  in plain links", stock.processor / one.processor, cost.processor / one.processor, "links")
    row("make, one source changed", make_theirs.seconds, make_ours.seconds, "s")
    row("  processors", make_theirs.processor, make_ours.processor, "s")
    row("memory of the largest process", stock.peak, ours[0].peak, "MiB")
    row("  in plain links", stock.peak / one.peak, ours[0].peak / one.peak, "links")


def main(arguments: Sequence[str] = (OLDEST.stage.version,)) -> None:
    known = {linux.stage.version: linux for linux in LINUXES}
    for wanted in arguments:
        vmlinux = cached(known[wanted]) if wanted in known else Path(wanted)
        if vmlinux is None:
            sys.exit(f"bench: expected Linux {wanted} to be built, found none; make test-linux VERSION={wanted}")
        with tempfile.TemporaryDirectory(prefix="bench.") as name, patch.dict(os.environ):
            measure(copy(vmlinux.parent, Path(name) / "linux"), Path(name))


if __name__ == "__main__":
    main(sys.argv[1:] or (OLDEST.stage.version,))
