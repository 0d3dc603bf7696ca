"""The lookups for bench/ksyms.py: both sides on the host, under callgrind. Linux's code is copied from its tree."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np

from buildplug.arch.x86 import X86_64
from buildplug.base.process import run
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.stage import render
from buildplug.tables import ksyms_format
from buildplug.tables.ksyms import KsymsFormat

LOOKUPS = 2000

# What kernel/kallsyms.c needs to run on the host; costs no instructions here, even what does in the kernel.
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
SIDES = {"theirs": ("their_main.c",), "ours": ("our_main.c", "ksyms.c")}
COMPILE = ("gcc", "-mgeneral-regs-only", "-w", "-I.")
KALLSYMS_LOOKUPS = """
unsigned long find(unsigned long address, char *name)
{
	unsigned long size, offset, pos = get_symbol_pos(address, &size, &offset);

	kallsyms_expand_symbol(get_symbol_offset(pos), name, KSYM_NAME_LEN);
	return address - offset;
}
unsigned long lookup(const char *name) { return kallsyms_lookup_name(name); }
"""
OUR_LOOKUPS = """
#include <stdio.h>
#include <string.h>
#include "ksyms.h"
extern const struct bp_ksyms table;
unsigned long find(unsigned long address, char *name)
{
	struct bp_ksym symbol;

	return bp_ksyms_find(&table, address, &symbol, name, 512) ? symbol.address : 0;
}
unsigned long lookup(const char *name)
{
	struct bp_ksym symbol;

	return bp_ksyms_lookup(&table, name, &symbol) ? symbol.address : 0;
}
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


def measure(tree: Path, start: int, table: ksyms_format.Ksyms, folder: Path) -> None:
    """Prints the instructions of a lookup on both sides, which must find the same. `start`: the address of _text."""
    chance = random.Random(1)
    moved = [s for s, flags in enumerate(table.sections["flags"].tolist()) if not flags]
    seen = Counter(table.names)
    known = np.flatnonzero(np.isin(table.rows["section"], moved) & (table.rows["size"] > 0))
    wanted = [i for i in chance.sample(known.tolist(), LOOKUPS) if seen[table.names[i]] == 1]
    address = [runtime_ksyms.symbol(table, 0, i).address for i in wanted]
    middle = [a + int(table.rows["size"][i]) // 2 for a, i in zip(address, wanted, strict=True)]
    (folder / "wanted.h").write_text(
        f"static const unsigned long addresses[] = {{ {', '.join(map(hex, middle))} }};\n"
        f"static const char *const names[] = {{ {', '.join(json.dumps(table.names[i].decode()) for i in wanted)} }};\n"
    )
    for name, text in render.runtime(X86_64, folder, [KsymsFormat()]).items():
        (folder / name).write_text(text)
    code = (tree / "kernel/kallsyms.c").read_text()
    taken = [re.search(rf"^\w[^;{{}}]*\b{name}\([^;{{}}]*\)\n{{.*?^}}", code, re.M | re.S) for name in FUNCTIONS]
    functions = "\n".join(found[0] for found in taken if found)
    (folder / "their_main.c").write_text(KALLSYMS + functions + KALLSYMS_LOOKUPS + MAIN)
    (folder / "our_main.c").write_text(OUR_LOOKUPS + MAIN)
    bases = [f"-Wl,--defsym,section_{i}={base % 2**64:#x}" for i, base in enumerate(table.bases.tolist())]
    build = (*COMPILE, "-O2", "-static", "-o")
    run([*build, "ours", *SIDES["ours"], "table.o", *bases], folder, "build our lookups")
    text = f"-Wl,--defsym,_text={start:#x}"
    run([*build, "theirs", *SIDES["theirs"], "kallsyms.o", text], folder, "build their lookups")
    found = [run([f"./{side}", "print"], folder, "look up").output for side in SIDES]
    same = sum(a == b for a, b in zip(*(text.splitlines() for text in found), strict=True))
    print(f"lookups: {len(wanted)} of each, the same answers for {same}")
    for what in ("find", "lookup"):
        counts = [(instructions(folder, side, what) - instructions(folder, side)) / len(wanted) for side in SIDES]
        print(f"instructions, {what}: kallsyms {counts[0]:.0f}, ours {counts[1]:.0f}: {counts[1] / counts[0]:.2f}")


def measure_code(folder: Path) -> None:
    """Prints the bytes of code of the lookups on both sides, after measure()."""
    for level in ("-O2", "-Os"):
        sizes = [code_size(folder, side, level) for side in SIDES]
        print(f"bytes of code, {level}: kallsyms {sizes[0]}, ours {sizes[1]}: {sizes[1] / sizes[0]:.2f}")


def code_size(folder: Path, side: str, level: str) -> int:
    """The bytes of find(), lookup() and all functions that they call."""
    objects = [Path(name).with_suffix(".o") for name in SIDES[side]]
    run([*COMPILE, level, "-ffunction-sections", "-c", *SIDES[side]], folder, "compile lookups")
    run(
        ["ld", "-r", "--gc-sections", "-u", "find", "-u", "lookup", "-o", "lookups.o", *objects], folder, "link lookups"
    )
    functions = [line.split() for line in run(["nm", "-S", "lookups.o"], folder, "measure code").output.splitlines()]
    return sum(int(words[1], 16) for words in functions if len(words) == 4 and words[2] in "tT")


def instructions(folder: Path, side: str, *arguments: str) -> int:
    """The instructions that callgrind counts in a run."""
    counted = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"./{side}", *arguments]
    found = re.search(r"Collected : (\d+)", run(counted, folder, "count instructions").output)
    return int(found[1]) if found else 0
