"""The C and the Rust that come with tables of rows, compiled for this machine: searches against Python, switching of
static calls against what the bytes must become, and all of it on spoilt tables, under sanitizers and with checks."""

import random
import struct
import subprocess
from bisect import bisect_left
from pathlib import Path

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.ksyms_host import SANITIZERS
from tests.runtime.rust import CHECKED
from tests.tables.ksyms_tables import FLAGS

# Reads lines "kind table query…" with bytes in hexadecimal, prints an answer each. Everything has exactly its size, so
# that the sanitizer sees each byte too far.
HOST = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bp_exports.h"
#include "bp_extable.h"
#include "bp_static_calls.h"
static void *bytes(size_t *size)
{
	static char text[1 << 20];
	unsigned char *data;
	if (scanf("%1048575s", text) != 1) exit(0);
	*size = strlen(text) / 2 - 1;
	data = malloc(*size);
	for (size_t i = 0; i < *size; i++) { unsigned byte; sscanf(text + 2 + 2 * i, "%2x", &byte); data[i] = byte; }
	return data;
}
static void put(void *context, void *site, const void *from, uint32_t length)
{
	(void)context;
	memcpy(site, from, length);
}
int main(void)
{
	char kind;
	while (scanf(" %c", &kind) == 1) {
		size_t room, size;
		char *table = bytes(&room);
		if (kind == 'f') {
			long offset;
			if (scanf("%ld", &offset) != 1) exit(1);
			uintptr_t found = bp_extable_find((void *)table, room, (uintptr_t)table + offset);
			printf("%ld\n", found ? (long)(found - (uintptr_t)table) : 0);
		} else if (kind == 'l') {
			char *name = bytes(&size);
			struct bp_exports_found found;
			int good = bp_exports_find((void *)table, room, name, &found);
			printf(good ? "%ld %s\n" : "none\n", (long)(found.address - (uintptr_t)table), found.ns);
			free(name);
		} else {
			long at, trampoline, function, start, end;
			if (scanf("%ld %ld %ld %ld %ld", &at, &trampoline, &function, &start, &end) != 5) exit(1);
			char *b = table;
			uintptr_t base = (uintptr_t)b;
			int good = bp_static_calls_set((void *)(b + at), base + trampoline, base + function,
				b + start, b + end, put, NULL);
			printf("%d ", good);
			for (size_t i = 0; i < room; i++) printf("%02x", (unsigned char)table[i]);
			puts("");
		}
		free(table);
	}
}
"""


class Host:
    """The generated code: asked all questions at once."""

    def __init__(self, program: Path):
        self.program = program

    def ask(self, questions: list[str]) -> list[str]:
        asked = "\n".join(questions)
        done = subprocess.run([self.program], input=asked.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        answers = done.stdout.decode(errors="replace").splitlines()
        assert len(answers) == len(questions)
        return answers


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated C and Rust."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in ("extable", "exports", "static_calls"):
        rule = find(name, folder)
        for file, text in (render.table_files(X86_64, rule, None, folder) | render.rust(X86_64, rule, folder)).items():
            (folder / file).write_text(text)
    return folder


@pytest.fixture(scope="module")
def hosts(source: Path) -> dict[str, Host]:
    """By language."""
    (source / "host.c").write_text(HOST)
    tool("gcc", *SANITIZERS, *sorted(source.glob("*.c")), "-o", source / "host")
    (source / "host.rs").write_text(Path(__file__).with_name("rows_host.rs").read_text())
    tool("rustc", *CHECKED, "host.rs", "-o", "rust_host", cwd=source)
    return {"c": Host(source / "host"), "rust": Host(source / "rust_host")}


@pytest.fixture(params=["c", "rust"])
def host(hosts: dict[str, Host], request: pytest.FixtureRequest) -> Host:
    return hosts[request.param]


@pytest.mark.parametrize("flags", [("-m64",), ("-m32",)])
@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_c_is_freestanding_and_free_of_warnings_and_state(source: Path, cc: str, flags: tuple[str, ...]) -> None:
    for name in ("bp_extable.c", "bp_exports.c", "bp_static_calls.c"):
        for level in ("-O2", "-Os"):
            tool(
                cc,
                *FLAGS,
                *flags,
                "-Wconversion",
                "-Wno-sign-conversion",
                level,
                "-c",
                source / name,
                "-o",
                source / "one.o",
            )
            listed = [line.split()[-2:] for line in tool("nm", source / "one.o").splitlines()]
            assert not [name for kind, name in listed if kind in "UbBdDC" and name != "_GLOBAL_OFFSET_TABLE_"], listed


def extable(entries: list[tuple[int, int]]) -> bytes:
    """A table of (instruction, fixup), both relative to the table."""
    rows = [(insn - 8 - 8 * i, fixup - 12 - 8 * i) for i, (insn, fixup) in enumerate(entries)]
    return struct.pack("<II", len(rows), 8) + b"".join(struct.pack("<ii", *row) for row in rows)


def text(data: bytes) -> str:
    return "0x" + data.hex()


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """A few bits are others, or the end is missing."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed[: chance.choice((len(data), chance.randrange(len(data) + 1)))])


def test_every_instruction_finds_its_fixup_and_no_other_does(host: Host) -> None:
    chance = random.Random(1)
    for count in (0, 1, 2, 3, 8, 100):
        at = sorted(chance.sample(range(-5000, 5000, 2), count))
        entries = [(insn, chance.randrange(1, 9999)) for insn in at]
        asked = [*at, *(insn + 1 for insn in at), -9000, 9000]
        answers = host.ask([f"f {text(extable(entries))} {insn}" for insn in asked])
        expected = [entries[bisect_left(at, insn)][1] if insn in at else 0 for insn in asked]
        assert [int(answer) for answer in answers] == expected


def exports(entries: list[tuple[str, int, str]]) -> bytes:
    """A table of (name, address relative to the table, namespace), sorted by name."""
    pool, rows, places = bytearray(), bytearray(), 8 + 12 * len(entries)
    for i, (name, address, namespace) in enumerate(sorted(entries)):
        here = 8 + 12 * i
        strings = []
        for string in (name, namespace):
            strings.append(places + len(pool))
            pool += string.encode() + b"\0"
        rows += struct.pack("<iii", strings[0] - here, address - here - 4, strings[1] - here - 8)
    return struct.pack("<II", len(entries), 12) + bytes(rows + pool)


def test_every_name_finds_its_address_and_namespace_and_no_other_does(host: Host) -> None:
    chance = random.Random(2)
    for count in (0, 1, 2, 3, 60):
        names = {"".join(chance.choices("ab_é", k=chance.randrange(1, 6))) for _ in range(count)}
        entries = {name: (chance.randrange(-99, 99), chance.choice(("", "NS"))) for name in sorted(names)}
        table = text(exports([(name, *rest) for name, rest in entries.items()]))
        asked = [*entries, *(name + "b" for name in entries), "", "a", "~"]
        answers = host.ask([f"l {table} {text(name.encode() + bytes(1))}" for name in asked])
        expected = [f"{entries[n][0]} {entries[n][1]}" if n in entries else "none" for n in asked]
        assert answers == expected


def test_searches_stay_inside_whatever_the_table_says(host: Host) -> None:
    chance = random.Random(3)
    faults = extable([(insn, 5) for insn in range(0, 60, 3)])
    names = exports([(f"name{i}", i, "NS" * (i % 3)) for i in range(20)])
    questions = [f"f {text(spoilt(chance, faults))} {chance.randrange(60)}" for _ in range(300)]
    questions += [f"l {text(spoilt(chance, names))} {text(b'name%d' % (i % 20) + bytes(1))}" for i in range(600)]
    answers = host.ask(questions)
    assert len(set(answers)) > 10  # some of them still find something


# Of an image: its table at 0; two trampolines, of which the first has three sites: a call, a conditional jump, a jump.
TRAMPOLINES, CALL, COND, JUMP, OTHER, OLD, NEW, SIZE = (0x80, 0x88), 0x90, 0x98, 0xA0, 0xA8, 0xB0, 0xC0, 0xD0


def branch(opcode: bytes, at: int, target: int) -> bytes:
    return opcode + struct.pack("<i", target - at - len(opcode) - 4)


def image(target: int, trampoline: int) -> bytes:
    """The sites go to `target`; the first trampoline to `trampoline`."""
    data = bytearray(SIZE)
    sites = [(CALL, b"\xe8", 0), (COND, b"\x0f\x85", 0), (JUMP, b"\xe9", 0), (OTHER, b"\xe8", 1)]
    data[0:8] = struct.pack("<II", len(sites), 12)
    for i, (at, opcode, number) in enumerate(sites):
        here = 8 + 12 * i
        data[here : here + 12] = struct.pack("<iiHH", at - here, TRAMPOLINES[number] - here - 4, len(opcode) + 4, i)
        code = branch(opcode, at, target if number == 0 else TRAMPOLINES[number])
        data[at : at + len(code)] = code
    for at, target_ in zip(TRAMPOLINES, (trampoline, OLD), strict=True):
        data[at : at + 5] = branch(b"\xe9", at, target_)
    return bytes(data)


def switched(
    host: Host, data: bytes, function: int, at: int = 0, bounds: tuple[int, int] = (0, SIZE)
) -> tuple[bool, bytes]:
    (answer,) = host.ask([f"s {text(data)} {at} {TRAMPOLINES[0]} {function} {bounds[0]} {bounds[1]}"])
    good, _, after = answer.partition(" ")
    return good == "1", bytes.fromhex(after)


def test_all_sites_of_a_static_call_go_to_its_new_function_and_back(host: Host) -> None:
    assert switched(host, image(TRAMPOLINES[0], OLD), NEW) == (True, image(NEW, NEW))
    assert switched(host, image(NEW, NEW), OLD) == (True, image(OLD, OLD))


@pytest.mark.parametrize(
    "place", [0, 4, 5, TRAMPOLINES[0], TRAMPOLINES[0] + 2, CALL + 2, COND + 3, JUMP + 1, 8, 10, 16], ids=hex
)
def test_spoilt_table_or_site_changes_nothing(host: Host, place: int) -> None:
    data = bytearray(image(TRAMPOLINES[0], OLD))
    data[place] ^= 0x40
    if place == TRAMPOLINES[0] + 2:  # then its sites go elsewhere than it does
        data[CALL + 1] ^= 0x08
    assert switched(host, bytes(data), NEW) == (False, bytes(data))


@pytest.mark.parametrize("function", [OLD + (1 << 31), OLD - (1 << 32)])
def test_function_out_of_reach_changes_nothing(host: Host, function: int) -> None:
    data = image(TRAMPOLINES[0], OLD)
    assert switched(host, data, function) == (False, data)


@pytest.mark.parametrize("bounds", [(0, JUMP), (0, 4), (4, SIZE), (0, TRAMPOLINES[0] + 4), (CALL + 1, SIZE)])
def test_what_lies_outside_the_bounds_is_refused(host: Host, bounds: tuple[int, int]) -> None:
    data = image(TRAMPOLINES[0], OLD)
    assert switched(host, data, NEW, bounds=bounds) == (False, data)


def test_switching_stays_inside_whatever_the_table_says(host: Host) -> None:
    chance = random.Random(4)
    data = image(TRAMPOLINES[0], OLD)
    results = set()
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(0x38)] ^= 1 << chance.randrange(8)
        results.add(switched(host, bytes(changed), NEW)[0])
    assert results == {False, True}
