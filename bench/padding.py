"""Whether prefixes pad a site better than nops: cycles on this processor. `python -m bench.padding`.

Inline code that is shorter than its site is followed by nops. It could instead be lengthened by segment-override
prefixes, which the processor ignores there in 64-bit mode, as assemblers do to keep branches off boundaries, with up to
five (`-malign-branch-prefix-size`). Each kind of code stands in a loop of many sites, by itself and among other
instructions. Privileged instructions have stand-ins of the same length.
"""

import shutil
import tempfile
from pathlib import Path

from buildplug.arch.x86 import X86_64
from buildplug.base.process import run

CODES = {  # what ops become, or a stand-in -> length in bytes
    "clc": 1,  # for cli and sti
    "movzbl %dl, %eax": 3,  # for mov %cr2, %rax
    "mov %rdx, (%rax)": 3,
    "pushf; pop %rdx": 2,
    "push %rbx; popf": 2,
    "rdtsc": 2,  # for rdmsr and wrmsr
}
SHAPES = (  # length of the site; bytes of the longest nop; prefixes at most
    ("unpadded", 0, 9, 0),
    ("5: nop", 5, 9, 0),
    ("prefixes", 5, 9, 5),
    ("12: nops", 12, 9, 0),
    ("long nop", 12, 11, 0),
    ("prefixes", 12, 9, 5),
    ("17: nop", 17, 15, 0),
    ("27: nops", 27, 15, 0),
    ("prefixes", 27, 15, 11),
)
PREFIX = 0x3E  # ds, the default of the operand in memory
AROUND = {"alone": "", "among others": "lea 1(%r8), %r8; mov %r9, %r10; add $4, %r11d"}
SITES, ROUNDS = 24, 64


def padded(code: str, shape: tuple[str, int, int, int]) -> str:
    """The assembly of a site."""
    _, length, longest, prefixes = shape
    gap = max(length - CODES[code], 0)
    prefixes = min(gap, prefixes)
    nops = b""
    while gap - prefixes > len(nops):
        nops += X86_64.nops[min(gap - prefixes - len(nops), longest)]
    return "; ".join([*[f".byte {PREFIX}"] * prefixes, code, *(f".byte {byte}" for byte in nops)])


def measure(folder: Path) -> dict[tuple[str, str], list[float]]:
    """The lowest cycles of a site in many tries: for each code and what is around it, those of the shapes."""
    names = [(around, code) for around in AROUND for code in CODES]
    sites = [f"{padded(code, shape)}; {AROUND[around]}" for around, code in names for shape in SHAPES]
    text = ".data\n.globl loops\nloops: " + "".join(f".quad loop{i}\n" for i in range(len(sites))) + ".quad 0\n"
    text += '.bss\nword: .quad 0\n.section .note.GNU-stack, "", @progbits\n.text\n'
    for i, site in enumerate(sites):
        text += f"loop{i}: push %rbx; push %rbp; pushf; pop %rbx; mov $word, %eax; mov ${ROUNDS}, %ebp\n"
        text += f".balign 64\n1: .rept {SITES}\n{site}\n.endr\ndec %ebp; jnz 1b; pop %rbp; pop %rbx; ret\n"
    (folder / "loops.S").write_text(text)
    shutil.copy(Path(__file__).with_suffix(".c"), folder / "main.c")
    run(["gcc", "-O2", "-no-pie", "main.c", "loops.S", "-o", "padding"], folder, "build a benchmark")
    cycles = [int(line) / SITES / ROUNDS for line in run(["./padding"], folder, "count cycles").output.split()]
    return {name: cycles[i * len(SHAPES) :][: len(SHAPES)] for i, name in enumerate(names)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        found = measure(Path(name))
    print(f"{'cycles a site':<30}" + "".join(f"{name:>11}" for name, *_ in SHAPES))
    for (around, code), cycles in found.items():
        print(f"{f'{code}, {around}':<30}" + "".join(f"{each:>11.2f}" for each in cycles), flush=True)


if __name__ == "__main__":
    main()
