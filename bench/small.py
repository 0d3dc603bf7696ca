"""What the wrapper costs where a link costs nothing, in milliseconds of processors: `python -m bench.small`.

A kernel of one function is linked for the first time, and again; and another program is linked by a program of
`buildplug ld --into`, which passes it on. The peer is the linker alone.
"""

import tempfile
from pathlib import Path

from bench.costs import BUILDPLUG, Cost, best, row, run

KERNEL = "extern const char bp_ksyms[]; int _start(void) { return bp_ksyms[3]; }"
CONFIG = '[kernel]\nname = "k.elf"\n[[table]]\nrule = "ksyms"\n'
SCRIPT = "ENTRY(_start) SECTIONS { . = 1M; .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data) } }"
ROUNDS = 15


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        measure(Path(name))


def measure(folder: Path) -> None:
    texts = {"k.c": KERNEL, "other.c": "int _start(void) { return 1; }", "k.lds": SCRIPT, "buildplug.toml": CONFIG}
    for name, text in texts.items():
        (folder / name).write_text(text)
    run(["gcc", "-O2", "-ffreestanding", "-fno-pie", "-c", "k.c", "other.c"], folder)
    run([*BUILDPLUG, "ld", "--into", "bin"], folder)
    kernel, other = ("-T", "k.lds", "k.o"), ("-T", "k.lds", "other.o", "-o", "other")

    def first(_: int) -> Cost:
        (folder / "k.elf").unlink(missing_ok=True)
        return run(["bin/ld", *kernel, "-o", "k.elf"], folder)

    costs = best(
        ROUNDS,
        first,
        lambda _: run(["bin/ld", *kernel, "-o", "k.elf"], folder),
        lambda _: run(["ld", *kernel, "--defsym=bp_ksyms=0", "-o", "plain"], folder),
        lambda _: run(["bin/ld", *other], folder),
        lambda _: run(["ld", *other], folder),
    )
    new, again, plain, passed, alone = (cost.processor * 1000 for cost in costs)
    row("one function, first link", new, plain, "ms", "of processors, over the linker alone; aim: 300 more")
    row("one function, again", again, plain, "ms", "aim: 150 more; importing numpy takes most of that")
    row("link that is passed on", passed, alone, "ms", "by a program of --into; aim: 10 more")


if __name__ == "__main__":
    main()
