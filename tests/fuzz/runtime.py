"""The runtime in C and in Rust, under sanitizers: a process that is given memory with a table in it, and calls it."""

import random
import re
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

from buildplug.arch.x86 import X86_64
from buildplug.config.rule import find
from buildplug.stage import render
from buildplug.tables.ksyms_codec import encode
from buildplug.tables.ksyms_format import checksum, dtype
from tests.conftest import tool
from tests.fuzz.mutate import binary
from tests.ksyms_host import SANITIZERS
from tests.layouts import LOW, Layout, corrupted, from_seed
from tests.runtime import relocations
from tests.runtime.conftest import OPS
from tests.runtime.rust import CHECKED
from tests.runtime.test_generated import OLD, TRAMPOLINES, exports, extable, image
from tests.tables.ksyms_tables import a_table

PLAIN = {  # kinds of plain tables, whole
    "x": exports([(f"name{i}", i, "NS" * (i % 3)) for i in range(20)]),
    "f": extable([(insn, 5) for insn in range(0, 60, 3)]),
    "c": image(TRAMPOLINES[0], OLD),
}

# The memory has exactly its size. A call that returns an error must leave it as it was.
HOST = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "buildplug.h"
#include "ksyms.h"
#include "relocs.h"
static void take(void *to, size_t size) { if (size && fread(to, 1, size, stdin) != size) exit(0); }
static uint64_t word(void) { uint64_t value; take(&value, 8); return value; }
static unsigned char *memory, *before;
static size_t size;
static void unchanged(uint32_t error)
{
	if (error && memcmp(memory, before, size)) abort();
	memcpy(memory, before, size);
}
static void sites(void *at, void *one, void *end)
{
	struct bp_change changes[8];
	uint32_t count = 8;
	unchanged(bp_fixup(at, one, memory, end, bp_write, 0).error);
	bp_fixup(at, one, memory, end, 0, 0);
	bp_changes(at, 0, one, memory, end, changes, &count);
	unchanged(bp_switch(at, one, 0, memory, end, bp_write, 0).error);
	if (!bp_fixup(at, one, memory, end, bp_write, 0).error) {
		if (!bp_switch(at, one, 0, memory, end, bp_write, 0).error && memcmp(memory, before, size)) abort();
	}
	memcpy(memory, before, size);
}
static void symbols(void *at, size_t room, uint64_t value)
{
	struct bp_ksym s;
	char name[40], wanted[] = "start";
	if (bp_ksyms_check(at, room)) return;
	for (uint32_t i = 0; i < 50; i++) bp_ksyms_get(at, i < 40 ? i : (uint32_t)value + i, &s, name, sizeof(name));
	for (int i = 0; i < 30; i++) bp_ksyms_find(at, (uintptr_t)at + value * i, &s, name, sizeof(name));
	if (bp_ksyms_lookup(at, wanted, &s)) while (bp_ksyms_next(at, wanted, &s));
	if (bp_ksyms_get(at, 0, &s, name, sizeof(name)) && bp_ksyms_lookup(at, name, &s)) bp_ksyms_next(at, name, &s);
	bp_ksyms_print(at, (uintptr_t)value, name, sizeof(name));
}
int main(void)
{
	for (;;) {
		uint64_t kind = word(), at, other;
		size = word(), at = word(), other = word();
		memory = malloc(size), before = malloc(size);
		take(memory, size), memcpy(before, memory, size);
		if (kind == 's') sites(memory + at, memory + other, memory + size);
		if (kind == 'r') unchanged(bp_relocate((void *)(memory + at), memory, memory + size, other).error);
		if (kind == 'k') symbols(memory, size, other);
		putchar('.'), fflush(stdout);
		free(memory), free(before);
	}
}
"""


def in_c(folder: Path) -> Path:
    """The program in C."""
    for name, text in render.runtime(X86_64, folder).items():
        (folder / name).write_text(text)
    (folder / "host.c").write_text(HOST)
    # tables may lie at any address that their kernel is loaded to, and fields are not aligned
    flags = (*SANITIZERS, "-fno-sanitize=alignment")
    tool("gcc", *flags, "host.c", "fixup.c", "relocs.c", "ksyms.c", "-o", "c_host", cwd=folder)
    return folder / "c_host"


def in_rust(folder: Path) -> Path:
    """The program in Rust, with debug assertions; with the sanitizer, too, if its library came with rustc."""
    for rule in "paravirt", "ksyms", "exports", "extable", "static_calls":
        for name, text in render.rust(X86_64, find(rule, folder), folder, OPS).items():
            (folder / name).write_text(text)
    (folder / "host.rs").write_text(Path(__file__).with_name("rust_host.rs").read_text())
    libraries = Path(tool("rustc", "--print", "sysroot").strip()).glob("lib/rustlib/x86_64-*/lib/*asan.a")
    # the flag is for nightly compilers, or for those that are told to be one
    flags = ("RUSTC_BOOTSTRAP=1", "rustc", *CHECKED, "-O", "-g", *(["-Zsanitizer=address"] if any(libraries) else []))
    tool("env", *flags, "host.rs", "-o", "rust_host", cwd=folder)
    return folder / "rust_host"


# A name in fuzz() -> the program, the kinds of its inputs, and its share of all inputs.
HOSTS = {"runtime": (in_c, "ssssrrk", 60), "rust": (in_rust, "sssskkxfc", 40)}


class Host:
    """The process; it is started again after a fault."""

    def __init__(self, program: Path):
        self._words, self._process = [str(program)], None

    _process: subprocess.Popen[bytes] | None

    def fault(self, data: bytes) -> str:
        """Gives it an input: what a sanitizer says, "" if nothing."""
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(self._words, stdin=pipe, stdout=pipe, stderr=pipe)
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            pass
        if process.stdout.read(1) == b".":
            return ""
        self._process = None
        said = process.stderr.read().decode(errors="replace")
        frames = re.findall(r"#\d+ \S+ in ([\w:]+) .*/(?:(?:fixup|relocs|ksyms|host)\.c|\w+\.rs)", said)
        what = re.findall(r"ERROR: \w+: ([\w-]+)|runtime error: (.*)|panicked at (.*):", said)
        problem = "".join(what[0]) if what else f"status {process.wait()}"
        return f"{problem} in {' of '.join(frames[:2])}"

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()


def an_input(rng: random.Random, kinds: str) -> bytes:
    """Memory with a damaged table, as the process wants it; often with right checksums, or other checks see nothing."""
    kind = rng.choice(kinds)
    at, other = 0, rng.getrandbits(64)
    if kind == "s":
        layout = from_seed(rng, [LOW])
        for _ in range(rng.choice((0, 1, 1, 2))):
            layout = corrupted(rng, layout)
        layout = _damaged(rng, layout)
        content, at, other = layout.regions[0][1], layout.at - LOW, layout.backend - LOW
    elif kind == "r":
        wrong = relocations.lay_out(rng)
        wrong = relocations.corrupted(rng, wrong) if rng.random() < 0.8 else wrong
        content, at, other = wrong.content, wrong.at, wrong.slide
    elif kind in PLAIN:
        content = PLAIN[kind]
        content, at = content[:8] + binary(rng, content[8:]) if rng.random() < 0.8 else binary(rng, content), 0x80
        content = content.ljust(8, b"\0")
    else:
        content = encode(a_table(rng.randrange(1000), by_name=rng.random() < 0.8))
        size = dtype("ksyms", "<").itemsize
        body = binary(rng, content) if rng.random() < 0.8 else content
        body = body.ljust(size, b"\0")
        if rng.random() < 0.7 and len(body) >= 16:
            body = body[:8] + struct.pack("<Q", checksum(body[16:size], "<")) + body[16:]
        content = body
    return struct.pack("<QQQQ", ord(kind), len(content), at, other) + content


def _damaged(rng: random.Random, layout: Layout) -> Layout:
    """The layout with other bytes anywhere, and perhaps right checksums again."""
    if rng.random() < 0.5:
        start, content = layout.regions[0]
        changed = binary(rng, content).ljust(len(content), b"\0")[: len(content)]
        layout = replace(layout, regions=((start, changed), *layout.regions[1:]))
        if rng.random() < 0.7:
            layout = layout.with_table(layout.table)
    return layout.with_backends(layout.backend) if rng.random() < 0.3 else layout
