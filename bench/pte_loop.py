"""What makes the difference of the loop `pte` of cycles.py: its place, the nops at its sites, or the order in which the
compiler has the instructions around them. `python -m bench.pte_loop`.

The loops are gcc's code of bench/user.c, without paravirt and patched, each with and without the three nops; and the
patched one with one addition earlier, which changes nothing but the order. Each stands at every fourth byte of a cache
line.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from bench.padding import PREFIX
from buildplug.base.process import run

PLACES = range(0, 64, 4)  # bytes from the start of a cache line
MAKE, SET, VAL = "nopl 0(%rax, %rax)", "xchg %ax, %ax", "nopl 0(%rax, %rax)"  # where the sites are
STEP = "add $0x1000, %rcx"
END = "add %rdx, %rsi; cmp $table + 4096, %rax; jne 2b"


def _native(make: str = "", set_: str = "", val: str = "") -> str:
    """The address is increased before the store, which has an offset: the compiler can choose."""
    return f"mov %rcx, %rdx; add $8, %rax; {STEP}; or $3, %rdx; {make}; mov %rdx, -8(%rax); {set_}; {val}; {END}"


def _patched(make: str = "", set_: str = "", val: str = "", prefix: str = "") -> str:
    """The op's address is in rax as it is, so it is increased later."""
    return (
        f"mov %rcx, %rdx; or $3, %rdx; {make}; {prefix}; mov %rdx, (%rax); {set_}; add $8, %rax; {STEP}; {val}; {END}"
    )


def _reordered(make: str = "", set_: str = "", val: str = "") -> str:
    return f"mov %rcx, %rdx; or $3, %rdx; {STEP}; {make}; mov %rdx, (%rax); {set_}; add $8, %rax; {val}; {END}"


LOOPS = {
    "!paravirt": _native(),
    "!paravirt, nops": _native(MAKE, SET, VAL),
    "patched": _patched(MAKE, SET, VAL),
    "patched, prefixes": _patched(MAKE, "", VAL, f".byte {PREFIX}, {PREFIX}"),
    "patched, no nops": _patched(),
    "reordered": _reordered(MAKE, SET, VAL),
    "reordered, no nops": _reordered(),
}


def measure(folder: Path) -> dict[str, list[int]]:
    """Loop -> the lowest cycles in many tries, at each place."""
    text = ".data\n.globl loops\nloops:\n"
    text += "".join(f".quad loop{number}\n" for number in range(len(LOOPS) * len(PLACES))) + ".quad 0\n"
    text += '.bss\n.balign 64\ntable: .skip 4096\n.section .note.GNU-stack, "", @progbits\n.text\n'
    for number, (loop, place) in enumerate((loop, place) for loop in LOOPS.values() for place in PLACES):
        text += f".balign 64\nloop{number}: xor %esi, %esi; xor %edi, %edi\n"
        text += f".balign 64\n.fill {place}, 1, 0x90\n1: mov %rdi, %rcx; mov $table, %eax\n2: {loop}\n"
        text += "add $0x200000, %rdi; cmp $0x2800000, %rdi; jne 1b; ret\n"
    (folder / "loops.S").write_text(text)
    shutil.copy(Path(__file__).with_name("padding.c"), folder / "main.c")
    run(["gcc", "-O2", "-no-pie", "main.c", "loops.S", "-o", "loops"], folder, "build a benchmark")
    cycles = [int(line) for line in run(["./loops"], folder, "count cycles").output.split()]
    return {name: cycles[i * len(PLACES) :][: len(PLACES)] for i, name in enumerate(LOOPS)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        found = measure(Path(name))
    print(f"{'pte, by place':<20}{'lowest':>12}{'median':>12}{'highest':>12}  ratio of the lowest")
    least = min(found["!paravirt"])
    for name, cycles in found.items():
        shown = "".join(f"{value:>12,.0f}" for value in (min(cycles), statistics.median(cycles), max(cycles)))
        print(f"{name:<20}{shown}  {min(cycles) / least:.3f}")


if __name__ == "__main__":
    main()
