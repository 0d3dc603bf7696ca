"""What the wrapper costs, in seconds of processors, where a link costs nothing, and where a kernel has very many
sections: `python -m bench.small`.

A kernel of one function is linked for the first time, and again after a change; and another program is linked by a
program of `buildplug ld --into`, which passes it on. Then a kernel with every function in an output section of its own.
The peer is the linker alone.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.costs import BUILDPLUG, Cost, best, reading, row, run

KERNEL = "int changed(void) { return %d; } extern const char bp_ksyms[]; int _start(void) { return bp_ksyms[%d]; }"
CONFIG = '[kernel]\nname = "k.elf"\n[[table]]\nrule = "ksyms"\n'
SCRIPT = "ENTRY(_start) SECTIONS { . = 1M; .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data) } }"
ROUNDS = 15
FUNCTION = '.section .f{0}, "ax"; .globl f{0}; .type f{0}, @function; f{0}: ret; .size f{0}, 1\n'
SECTIONS = 66_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        measure(Path(name))
        sections(Path(name))


def measure(folder: Path) -> None:
    texts = {
        "k.c": KERNEL % (1, 3),
        "k2.c": KERNEL % (2, 5) + " int another(void) { return 3; }",
        "other.c": "int _start(void) { return 1; }",
        "k.lds": SCRIPT,
        "buildplug.toml": CONFIG,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    run(["gcc", "-O2", "-ffreestanding", "-fno-pie", "-c", "k.c", "k2.c", "other.c"], folder)
    run([*BUILDPLUG, "ld", "--into", "bin"], folder)
    kernel, other = ("-T", "k.lds", "k.o"), ("-T", "k.lds", "other.o", "-o", "other")
    changed = ("-T", "k.lds", "k2.o")

    costs = best(
        ROUNDS,
        lambda _: _first(folder, *kernel),
        lambda _: run(["bin/ld", *changed, "-o", "k.elf"], folder),
        lambda _: run(["ld", *kernel, "--defsym=bp_ksyms=0", "-o", "plain"], folder),
        lambda _: run(["bin/ld", *other], folder),
        lambda _: run(["ld", *other], folder),
        lambda _: run(reading(folder / "k.o"), folder),
    )
    new, again, plain, passed, alone, numpy = (cost.processor * 1000 for cost in costs)
    row("one function, first link", new, plain, "ms", "of processors, over the linker alone; aim: 300 more")
    row("one function, changed", again, plain, "ms", "aim: 150 more")
    row("... over what must be", again, plain + numpy, "ms", "the linker, and Python that imports its libraries")
    for what, number in (("first link", 0), ("changed", 1)):
        row(f"... {what}, elapsed", costs[number].seconds * 1000, costs[2].seconds * 1000, "ms", "")
    if shutil.which("strace"):
        programs(folder, kernel, changed)
    row("link that is passed on", passed, alone, "ms", "by a program of --into; aim: 10 more")


def programs(folder: Path, kernel: Sequence[str], changed: Sequence[str]) -> None:
    """How many programs each link starts, itself included."""
    (folder / "k.elf").unlink()
    for what, words in (("first link", kernel), ("changed", changed)):
        traced = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "status=successful", "-o", "trace"]
        run([*traced, "bin/ld", *words, "-o", "k.elf"], folder)
        started = (folder / "trace").read_text().count("execve(")
        row(f"... {what}, programs", started, 1, "", "started, over the linker alone")


def _first(folder: Path, *words: str) -> Cost:
    """The link of k.elf, as if for the first time."""
    (folder / "k.elf").unlink(missing_ok=True)
    return run(["bin/ld", *words, "-o", "k.elf"], folder)


def sections(folder: Path) -> None:
    text = ".text; .globl _start; _start: ret\n" + "".join(map(FUNCTION.format, range(SECTIONS)))
    (folder / "k.S").write_text(text + '.section .note.GNU-stack, ""\n')
    run(["gcc", "-c", "k.S"], folder)

    kernel = ("-T", "k.lds", "k.o")
    costs = best(
        3,
        lambda _: _first(folder, *kernel),
        lambda _: run(["bin/ld", *kernel, "-o", "k.elf"], folder),
        lambda _: run(["ld", *kernel, "-o", "plain"], folder),
    )
    new, again, plain = (cost.processor for cost in costs)
    row(f"{SECTIONS:,} sections, first", new, plain, "s", "of processors, over the linker alone; aim: 2.0")
    row(f"{SECTIONS:,} sections, again", again, plain, "s", "aim: 2.0")


if __name__ == "__main__":
    main()
