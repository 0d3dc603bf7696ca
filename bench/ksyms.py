"""Our table of symbols beside Linux's kallsyms, on the symbols of the cached small Linux: seconds, bytes, instructions.

`python -m bench.ksyms [VMLINUX]`; the tree around the image has kallsyms built. Both sides get the same symbols and end
with an object; both lookups run on the host, under callgrind. Linux's code is taken from the tree, none is ours.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from buildplug import ksyms, ksyms_codec
from buildplug.arch import X86_64
from buildplug.elf import Array, Image
from buildplug.errors import BuildplugError
from buildplug.symbols import letters

ROUNDS = 9
LOOKUPS = 2000
LEFT_OUT = "aNUw"  # types, and names below: scripts/mksysmap
OF_KALLSYMS = (
    r"kallsyms_(addresses|offsets|relative_base|num_syms|names|markers|token_table|token_index|seqs_of_names)$"
)
LEFT_OUT_NAMES = re.compile(rf"\$|\.L|__crc_|__kstrtab_|__kstrtabns_|L0$|{OF_KALLSYMS}")

# What kernel/kallsyms.c needs around it to run on the host; what costs instructions there costs none here.
KALLSYMS = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdbool.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32;
extern const int kallsyms_offsets[]; extern const u8 kallsyms_names[], kallsyms_seqs_of_names[];
extern const unsigned int kallsyms_num_syms, kallsyms_markers[];
extern const unsigned long kallsyms_relative_base; extern const unsigned long kallsyms_addresses[];
extern const char kallsyms_token_table[]; extern const u16 kallsyms_token_index[];
#define IS_ENABLED(option) option
#define CONFIG_KALLSYMS_BASE_RELATIVE 1
#define CONFIG_KALLSYMS_ABSOLUTE_PERCPU 1
#define CONFIG_KALLSYMS_ALL 1
#define CONFIG_LTO_CLANG 0
#define BUG_ON(condition) ((void)0)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))
#define KSYM_NAME_LEN 512
#define is_kernel_inittext(address) 0
#define _einittext 0
#define _etext 0
#define _end 0
#define ESRCH 3
#define module_kallsyms_lookup_name(name) 0
"""
FUNCTIONS = (
    "kallsyms_expand_symbol", "get_symbol_offset", "kallsyms_sym_address", "cleanup_symbol_name",
    "compare_symbol_name", "get_symbol_seq", "kallsyms_lookup_names", "kallsyms_lookup_name", "get_symbol_pos",
)  # fmt: skip
KALLSYMS_LOOKUPS = """
static unsigned long find(unsigned long address, char *name)
{
	unsigned long size, offset, pos = get_symbol_pos(address, &size, &offset);

	kallsyms_expand_symbol(get_symbol_offset(pos), name, KSYM_NAME_LEN);
	return address - offset;
}
static unsigned long lookup(const char *name) { return kallsyms_lookup_name(name); }
"""
OUR_LOOKUPS = """
#include <stdio.h>
#include <string.h>
#include "ksyms.h"
extern const struct bp_ksyms table;
static unsigned long find(unsigned long address, char *name)
{
	struct bp_ksym symbol;

	return bp_ksyms_find(&table, address, &symbol, name, 512) ? symbol.address : 0;
}
static unsigned long lookup(const char *name)
{
	struct bp_ksym symbol;

	return bp_ksyms_lookup(&table, name, &symbol) ? symbol.address : 0;
}
"""
# Our side alone, from a list of symbols.
OURS = """
import sys
from pathlib import Path
import numpy as np
from buildplug import ksyms, ksyms_codec, ksyms_codec
from buildplug.arch import X86_64
folder = Path(sys.argv[1])
names = (folder / "names").read_bytes().split(bytes(1))
table = ksyms.collect(X86_64, np.load(folder / "sections.npy").tolist(), np.load(folder / "rows.npy"), names, "bench")
(folder / "table.bin").write_bytes(ksyms_codec.encode(table))
"""
MAIN = """
#include "wanted.h"
int main(int argc, char **argv)
{
	static char name[512];
	unsigned i;

	for (i = 0; argc > 1 && i < sizeof(addresses) / sizeof(*addresses); i++) {
		if (*argv[1] == 'f') find(addresses[i], name);
		if (*argv[1] == 'l') lookup(names[i]);
		if (*argv[1] == 'p') printf("%lx %lx\\n", find(addresses[i], name), lookup(names[i]));
	}
	return 0;
}
"""


def symbols_of(path: Path) -> tuple[list[tuple[str, int, int, int]], Array, list[bytes]]:
    """The sections, rows and names of an image, those symbols that Linux's own table has."""
    image = Image(path)
    symbols, types, names = image.symbols, letters(image), image.names
    chosen = ~np.isin(symbols["type"], (3, 4)) & ~np.isin(types, [ord(letter) for letter in LEFT_OUT + "A"])
    left_out = LEFT_OUT_NAMES.match
    at = [i for i in np.flatnonzero(chosen).tolist() if not left_out(names[i])]
    rows = np.zeros(len(at), ksyms.ROW)
    rows["section"], rows["size"], rows["type"] = symbols["section"][at], symbols["size"][at], types[at]
    addresses = np.array([section.address for section in image.sections], "u8")
    outside = symbols["value"][at] - addresses[rows["section"]] > 0xFFFFFFFF  # assigned by the linker script
    for i in np.flatnonzero(outside).tolist():
        before = [s.index for s in image.sections if s.alloc and s.address <= symbols["value"][at[i]]]
        rows["section"][i] = max(before, key=addresses.__getitem__)
    rows["offset"] = symbols["value"][at] - addresses[rows["section"]]
    absolute = ksyms.ABSOLUTE
    sections = [(s.name, s.size, absolute if s.name == ".data..percpu" else 0, s.address) for s in image.sections]
    return sections, rows, [names[i].encode() for i in at]


def source(table: ksyms.Ksyms, data: Path) -> str:
    """The assembly of a table whose bytes are in the file `data`."""
    lines = ['.section .ksyms, "a", @progbits', ".balign 16", ".globl table", "table:"]
    lines.append(f'.incbin "{data}", 0, {data.stat().st_size - 8 * len(table.sections)}')
    for i, (flags, base) in enumerate(zip(table.sections["flags"].tolist(), table.bases.tolist(), strict=True)):
        lines.append(f".quad {base}" if flags & ksyms.ABSOLUTE else f".quad section_{i} - table")
    return "\n".join([*lines, '.section .note.GNU-stack, "", @progbits', ""])


def make(folder: Path, symbols: tuple[list[tuple[str, int, int, int]], Array, list[bytes]]) -> ksyms.Ksyms:
    """Writes table.bin and table.S: our side."""
    sections, rows, names = symbols
    table = ksyms.collect(X86_64, sections, rows, names, "bench")
    (folder / "table.bin").write_bytes(ksyms_codec.encode(table))
    (folder / "table.S").write_text(source(table, folder / "table.bin"))
    return table


def run(*command: str | Path, cwd: Path) -> str:
    """What a program prints. Raises BuildplugError."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildplugError(command[0], "fails", output=done.stderr)
    return done.stdout + done.stderr


def seconds(folder: Path, commands: dict[str, list[str]]) -> dict[str, float]:
    """The least seconds that each shell command took, in rounds that run all of them."""
    least: dict[str, float] = {}
    for _ in range(ROUNDS):
        for what, steps in commands.items():
            start = time.perf_counter()
            for step in steps:
                run("sh", "-ec", step, cwd=folder)
            least[what] = min(least.get(what, 1e9), time.perf_counter() - start)
    return least


def measure_seconds(vmlinux: Path, folder: Path) -> None:
    """Seconds of both sides, from the image and from the list of symbols."""
    pattern = f" [{LEFT_OUT}] | \\\\$| \\\\.L| __crc_| __kstrtab_| __kstrtabns_| L0$"
    python = f"cd {Path.cwd()}; {sys.executable} -m bench.ksyms"
    assemble = "gcc -I. -c {0}.S -o {0}.o"
    listed = f'nm -n {vmlinux} | grep -vE "{pattern}" >symbols'
    options = "--all-symbols --absolute-percpu --base-relative"
    kallsyms = f"{vmlinux.parent}/scripts/kallsyms {options} symbols >kallsyms.S"
    took = seconds(
        folder,
        {
            "kallsyms, image to object": [listed, kallsyms, assemble.format("kallsyms")],
            "ours, image to object": [f"{python} image {vmlinux} {folder}", assemble.format("table")],
            "kallsyms, symbols to object": [kallsyms, assemble.format("kallsyms")],
            "ours, symbols to object": [
                f"PYTHONPATH={Path.cwd()} {sys.executable} ours.py {folder}",
                assemble.format("table"),
            ],
        },
    )
    for way in ("image to object", "symbols to object"):
        theirs, ours = took[f"kallsyms, {way}"], took[f"ours, {way}"]
        print(f"seconds, {way}: kallsyms {theirs:.3f}, ours {ours:.3f}: {ours / theirs:.2f}")


def measure_bytes(table: ksyms.Ksyms, folder: Path) -> None:
    """Bytes of both sides, with what only one of them has."""
    lines = [line.split() for line in run("nm", "-n", "kallsyms.o", cwd=folder).splitlines()]
    starts = {line[2]: int(line[0], 16) for line in lines if len(line) == 3}
    size = next(int(line.split()[1]) for line in run("size", "-A", "kallsyms.o", cwd=folder).splitlines()
                if line.startswith(".rodata"))  # fmt: skip
    by_name = starts["kallsyms_token_table"] - starts["kallsyms_seqs_of_names"]
    theirs = (starts["kallsyms_relative_base"] - starts["kallsyms_offsets"]) // 4
    if theirs != len(table.rows):
        raise BuildplugError("bench", f"expected the same symbols, found {theirs} and {len(table.rows)}")
    ours = len(ksyms_codec.encode(table))
    alone = len(ksyms_codec.encode(replace(table, by_name=False)))
    unsized = table.rows.copy()
    unsized["size"] = 0
    no_sizes = len(ksyms_codec.encode(replace(table, by_name=False, rows=unsized)))
    count = len(table.rows)
    for what, a, b in (
        ("address -> name, name -> address (ours: and sizes)", size, ours),
        ("address -> name (ours: and sizes)", size - by_name, alone),
        ("address -> name, our sizes all 0", size - by_name, no_sizes),
    ):
        print(f"bytes, {what}: kallsyms {a} ({a / count:.1f} a symbol), ours {b} ({b / count:.1f}): {b / a:.2f}")


def measure_lookups(vmlinux: Path, table: ksyms.Ksyms, folder: Path) -> None:
    """Instructions of a lookup on both sides; they must find the same."""
    from buildplug import render  # which our side does not need: its time is measured

    chance = random.Random(1)
    moved = [s for s, flags in enumerate(table.sections["flags"].tolist()) if not flags]
    seen = Counter(table.names)
    known = np.flatnonzero(np.isin(table.rows["section"], moved) & (table.rows["size"] > 0))
    wanted = [i for i in chance.sample(known.tolist(), LOOKUPS) if seen[table.names[i]] == 1]
    address = [ksyms.symbol(table, 0, i).address for i in wanted]
    middle = [a + int(table.rows["size"][i]) // 2 for a, i in zip(address, wanted, strict=True)]
    (folder / "wanted.h").write_text(
        f"static const unsigned long addresses[] = {{ {', '.join(map(hex, middle))} }};\n"
        f"static const char *const names[] = {{ {', '.join(json.dumps(table.names[i].decode()) for i in wanted)} }};\n"
    )
    for name in ("ksyms.h", "ksyms.c"):
        (folder / name).write_text(render.render(f"{name}.j2", folder, arch=X86_64, ksyms=ksyms))
    code = (vmlinux.parent / "kernel/kallsyms.c").read_text()
    taken = [re.search(rf"^\w[^;{{}}]*\b{name}\([^;{{}}]*\)\n{{.*?^}}", code, re.M | re.S) for name in FUNCTIONS]
    functions = "\n".join(found[0] for found in taken if found)
    (folder / "their_main.c").write_text(KALLSYMS + functions + KALLSYMS_LOOKUPS + MAIN)
    (folder / "our_main.c").write_text(OUR_LOOKUPS + MAIN)
    bases = [f"-Wl,--defsym,section_{i}={base % 2**64:#x}" for i, base in enumerate(table.bases.tolist())]
    start = f"-Wl,--defsym,_text={address_of_text(vmlinux):#x}"
    build = ("gcc", "-O2", "-mgeneral-regs-only", "-w", "-static", "-I.", "-o")
    run(*build, "ours", "our_main.c", "ksyms.c", "table.o", *bases, cwd=folder)
    run(*build, "theirs", "their_main.c", "kallsyms.o", start, cwd=folder)
    found = [run(f"./{side}", "print", cwd=folder) for side in ("theirs", "ours")]
    same = sum(a == b for a, b in zip(*(text.splitlines() for text in found), strict=True))
    print(f"lookups: {len(wanted)} of each, the same answers for {same}")
    for what in ("find", "lookup"):
        counts = [
            (instructions(folder, side, what) - instructions(folder, side)) / len(wanted) for side in ("theirs", "ours")
        ]
        print(f"instructions, {what}: kallsyms {counts[0]:.0f}, ours {counts[1]:.0f}: {counts[1] / counts[0]:.2f}")


def address_of_text(vmlinux: Path) -> int:
    return Image(vmlinux).address_of("_text") or 0


def instructions(folder: Path, side: str, *arguments: str) -> int:
    """What callgrind counts in a run."""
    out = run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"./{side}", *arguments, cwd=folder)
    found = re.search(r"Collected : (\d+)", out)
    return int(found[1]) if found else 0


def main(arguments: Sequence[str] = ()) -> None:
    """Runs all; or, as a process that is timed, our side alone."""
    if len(arguments) == 3:
        make(Path(arguments[2]), symbols_of(Path(arguments[1])))
        return
    from tests.linux_image import cached

    vmlinux = Path(arguments[0]) if arguments else cached()
    if vmlinux is None:
        raise BuildplugError("bench", "expected a built Linux, found none", "python -m tests.linux_image")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "asm").mkdir()
        (folder / "asm/bitsperlong.h").write_text("#define BITS_PER_LONG 64\n")
        sections, rows, names = symbols_of(vmlinux)
        (folder / "names").write_bytes(b"\0".join(names))
        (folder / "ours.py").write_text(OURS)
        np.save(folder / "rows.npy", rows)
        fields = np.dtype([("name", "U80"), ("size", "u8"), ("flags", "u8"), ("base", "u8")])
        np.save(folder / "sections.npy", np.array(sections, fields))
        table = make(folder, (sections, rows, names))
        print(f"{vmlinux}: {len(rows)} symbols")
        measure_seconds(vmlinux, folder)
        measure_bytes(table, folder)
        measure_lookups(vmlinux, table, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
