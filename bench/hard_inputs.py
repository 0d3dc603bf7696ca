"""Links of the kind that input_relocations.py may misread, and whether its list is equal to that of --emit-relocs:
`python -m bench.hard_inputs [NAME...]`.

Each is linked twice, with --emit-relocs and with -Map.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.input_relocations import compare

C = "-O1 -ffreestanding -fno-pie -fno-asynchronous-unwind-tables"
GCC, BFD = f"gcc {C} -c", "ld -e main"
A64 = f"clang --target=aarch64-linux-gnu {C} -c"
RISCV = "riscv64-linux-gnu-as"
USE = "int other(int); extern int shared; int *at = &shared; int main(void) { return other(shared); }"
OTHER = "int shared = 3; static int own; int other(int x) { return own += x; } int (*to)(int) = other; int *o = &own;"
STRINGS = "void *p[] = { (void *)%s }; int f%d(void) { return (long)p; }"
VENEER = '.section .%s,"ax"; .globl %s; .type %s,%%function; %s: bl %s; ret\n'
RELAXED = """.globl main, other, shared
main: call other
lla a0, shared
beqz a0, 1f
nop
1: ret
other: ret
.data
shared: .quad main, other
"""
SECTIONS = 60_000
LINKERS = ("ld.lld", "mold")


@dataclass(frozen=True)
class Case:
    """Source files by name, commands that make objects of them, and the link, without its output and those options.
    `others`: the linkers that make the link, too."""

    files: Mapping[str, str]
    prepare: tuple[str, ...]
    link: str
    others: tuple[str, ...] = LINKERS


MAIN = {"a.c": USE, "b.c": OTHER}
PIC = "gcc -O1 -fPIC -fno-plt -fno-asynchronous-unwind-tables -c a.c b.c"
GCC_LTO = "gcc -nostdlib -no-pie -static"
SCRIPT = """SECTIONS { . = 1M; .text : { *(SORT(.text*)) } start = .; .rodata : { *(.rodata*) }
.data : { KEEP(*(SORT_BY_ALIGNMENT(.data*))) . = ALIGN(64); edge = . - 8; }
.bss : { *(.bss*) *(COMMON) } half = edge / 2; }"""
ASSIGNED = "extern char start, edge, half; char *e[] = {&start, &edge, &half};"
TEXTS = """.section .rodata.str1.1,"aMS",@progbits,1
s: .asciz "abc"
t: .asciz "xbc"
.data; .quad s+1, t+1, s
.text; lea t(%rip), %rax; mov $s+2, %rdi"""
TEMPLATE = (
    "template <class T> __attribute__((noinline)) T f(T x) { static T n; return n += x; } int %s() { return f(%s); }"
)
CALL = '.section .f{0}, "ax"; .globl f{0}; f{0}: call f{1}; ret\n'
ONE_NAME = '.section .text.one,"ax",@progbits,unique,{0}\n.globl f{0}\nf{0}: call f{1}\n.fill {0} % 2\n'
ALIKE = '.section .text.one,"ax",@progbits,unique,{0}\n.globl f{0}\nf{0}: call f{0}\n'
HIDDEN = '__attribute__((visibility("hidden"))) int other('
STATIC = '__attribute__((noinline)) static int other(int x) { __asm__(""); return x; } int (*c)(int) = other;'
WEAK = "__attribute__((weak)) int other(int x) { return x; } int (*c)(int) = other;"
MISSING = "extern int no __attribute__((weak)); int *n = &no;"
IFUNC = ' static void *pick(void) { return real; } int other(int) __attribute__((ifunc("pick"))); int (*to)'
REAL = OTHER.replace("other", "real") + ' __asm__(".symver real,other@@V1");'
CASES = {
    "two files": Case(MAIN, (f"{GCC} a.c b.c",), f"{BFD} a.o b.o"),
    "unwind tables": Case(MAIN, ("gcc -O1 -fno-pie -c a.c b.c",), f"{BFD} a.o b.o"),
    "archive": Case(MAIN, (f"{GCC} a.c b.c", "ar rc l.a b.o"), f"{BFD} a.o l.a"),
    "thin archive": Case(MAIN, (f"{GCC} a.c b.c", "ar rcT l.a b.o"), f"{BFD} a.o l.a"),
    "archive, two members of one name": Case(
        MAIN
        | {
            "x/b.c": OTHER,
            "b.c": "int other2(void); int filler(void) { return other2(); }",
            "c.c": "int other2(void) { return 3; }",
        },
        (f"{GCC} a.c b.c c.c", f"{GCC} x/b.c -o x/b.o", "ar rc l.a b.o", "ar qc l.a x/b.o c.o"),
        f"{BFD} a.o --whole-archive l.a",
    ),
    "merged strings": Case(
        {
            "a.c": STRINGS % ('"a tail", "tail", "other"', 1),
            "b.c": STRINGS.replace("p", "q") % ('"tail", "il", "x"', 2),
        },
        (f"{GCC} a.c b.c",),
        f"{BFD} a.o b.o",
    ),
    "merged, local symbols and offsets": Case(
        {"a.S": TEXTS, "b.S": '.section .rodata.str1.1,"aMS",@progbits,1\ns: .asciz "bc"\n.data; .quad s, s+1\n'},
        (f"{GCC} a.S b.S",),
        f"{BFD} a.o b.o",
    ),
    "COMDAT groups": Case(
        {"a.cc": TEMPLATE % ("main", "3) + f(5L"), "b.cc": TEMPLATE % ("b", "3) + f('x'")},
        (f"g++ {C} -fno-rtti -c a.cc b.cc",),
        f"{BFD} a.o b.o",
    ),
    "--gc-sections": Case(
        {"a.c": USE, "b.c": OTHER + " int dead(void) { return other(1); }"},
        (f"{GCC} -ffunction-sections -fdata-sections a.c b.c",),
        f"{BFD} --gc-sections a.o b.o",
    ),
    "GOTPCRELX": Case(MAIN, (PIC,), f"{BFD} a.o b.o"),
    "GOTPCRELX, --no-relax": Case(MAIN, (PIC,), f"{BFD} --no-relax a.o b.o"),
    "-pie": Case(MAIN, ("gcc -O1 -fPIE -fno-asynchronous-unwind-tables -c a.c b.c",), f"{BFD} -pie a.o b.o"),
    "script: SORT, KEEP, assignments": Case(
        {"a.c": USE + ASSIGNED, "b.c": OTHER, "k.lds": SCRIPT},
        (f"{GCC} -ffunction-sections -fdata-sections a.c b.c",),
        f"{BFD} -T k.lds a.o b.o",
        ("ld.lld",),
    ),
    "ld -r": Case(MAIN, (f"{GCC} -ffunction-sections a.c b.c", "ld -r a.o b.o -o r.o"), f"{BFD} r.o"),
    "LTO": Case(MAIN, (f"{GCC} -flto a.c b.c",), f"{GCC_LTO} -Wl,-emain a.o b.o", others=()),
    "LTO, -save-temps": Case(MAIN, (f"{GCC} -flto a.c b.c",), f"{GCC_LTO} -save-temps -Wl,-emain a.o b.o", others=()),
    f"{SECTIONS:,} sections": Case(
        {"k.S": "".join(CALL.format(n, (n + 7) % SECTIONS) for n in range(SECTIONS))},
        (f"{GCC} k.S",),
        "ld -e f0 k.o",
        others=(),
    ),
    "sections of one name": Case(
        {"a.S": "".join(ONE_NAME.format(n, (n + 1) % 4) for n in range(4))},
        (f"{GCC} a.S",),
        "ld -e f0 a.o",
    ),
    "sections of one name, collected": Case(
        {"a.S": "".join(map(ALIKE.format, range(4)))},
        (f"{GCC} a.S",),
        "ld -e f2 --gc-sections a.o",
    ),
    "-z separate-code, padding": Case(
        MAIN, (f"{GCC} a.c b.c",), f"{BFD} -z separate-code -z max-page-size=65536 a.o b.o"
    ),
    "--defsym": Case({"a.c": USE}, (f"{GCC} a.c",), f"{BFD} --defsym=other=main --defsym=shared=0x1234 a.o"),
    "--wrap": Case(
        {"a.c": USE + " int __real_other(int); int __wrap_other(int x) { return __real_other(x); }", "b.c": OTHER},
        (f"{GCC} a.c b.c",),
        f"{BFD} --wrap=other a.o b.o",
    ),
    "versions": Case(
        {"a.c": USE, "b.c": REAL, "v": "V1 { global: other; };"},
        (f"{GCC} -fPIC a.c b.c",),
        f"{BFD} -shared -Bsymbolic --version-script=v a.o b.o",
    ),
    "hidden symbols and a static of the name": Case(
        {"a.c": USE, "b.c": OTHER.replace("int other(", HIDDEN, 1), "c.c": STATIC},
        (f"{GCC} a.c b.c c.c",),
        f"{BFD} a.o b.o c.o",
    ),
    "weak and overridden": Case(
        {"a.c": USE, "b.c": OTHER, "c.c": WEAK + MISSING},
        (f"{GCC} a.c b.c c.c",),
        f"{BFD} c.o a.o b.o",
    ),
    "common symbols": Case(
        {"a.c": USE, "b.c": OTHER.replace("shared = 3", "shared")}, (f"{GCC} -fcommon a.c b.c",), f"{BFD} a.o b.o"
    ),
    "IFUNC": Case(
        {"a.c": USE, "b.c": OTHER.replace("int other(int x)", "static int real(int x)").replace(" int (*to)", IFUNC)},
        (f"{GCC} a.c b.c",),
        f"{BFD} -static a.o b.o",
    ),
    "stripped, -s": Case(MAIN, (f"{GCC} a.c b.c",), f"{BFD} -s a.o b.o", others=()),
    "--icf=all": Case(
        {"a.c": USE + "int m(int x) { return other(x); } int n(int x) { return other(x); }", "b.c": OTHER},
        (f"{GCC} -ffunction-sections a.c b.c",),
        "ld.lld -e main --icf=all a.o b.o",
        others=(),
    ),
    "RISC-V, relaxed": Case({"a.S": RELAXED}, (f"{RISCV} a.S -o a.o",), "riscv64-linux-gnu-ld -e main a.o", others=()),
    "RISC-V, --no-relax": Case(
        {"a.S": RELAXED}, (f"{RISCV} a.S -o a.o",), "riscv64-linux-gnu-ld -e main --no-relax a.o", others=()
    ),
    "aarch64": Case(MAIN, (f"{A64} a.c b.c",), "aarch64-linux-gnu-ld -e main a.o b.o", others=()),
    "aarch64, veneers": Case(
        {
            "a.S": VENEER % ("near", *["main"] * 3, "far") + VENEER % ("far", *["far"] * 3, "main"),
            "k.lds": "SECTIONS { . = 1M; .n : { *(.near) } . = 512M; .f : { *(.far) } }",
        },
        (f"{A64} a.S",),
        "aarch64-linux-gnu-ld -e main -T k.lds a.o",
        others=(),
    ),
}


def run(command: str, folder: Path) -> str:
    """What a command complained of, if it failed."""
    words = shlex.split(command)
    if not shutil.which(words[0]):
        return f"{words[0]} is not installed"
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr.strip() or command if done.returncode else ""


def answer(case: Case, linker: str) -> list[str]:
    """The comparison of the two links, or why there is none."""
    _, _, rest = case.link.partition(" ")
    through = "-Wl," if linker == "gcc" else ""
    outputs = ("--emit-relocs -o kept", "-Map=map -o bare")  # names of one length, as the image may have its own
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        for file, text in case.files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text + "\n")
        for command in (*case.prepare, *(f"{linker} {rest} {through}{output}" for output in outputs)):
            if failed := run(command, folder):
                return [f"  no link: {failed.splitlines()[0]}"]
        return compare(folder, Path("kept"), Path("bare"), Path("map"))


def main(names: list[str]) -> None:
    for name in names or CASES:
        case = CASES[name]
        for linker in (case.link.split()[0], *case.others):
            print(f"{name}, {linker}", *answer(case, linker), sep="\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
