"""Tables of random symbols, and questions to the C that reads them."""

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.image.headers import Array
from buildplug.image.names import Names
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables.ksyms_format import ABSOLUTE, LONGEST, NAMES, ROW, SECTION, Ksyms, collect
from tests.ksyms_host import Question

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-mgeneral-regs-only")
ROOMS = (0, 1, 2, 20, 4096)


def a_name(chance: random.Random, before: list[bytes]) -> bytes:
    """Hostile: any byte but zero, empty, long, a name that is there already, or one that starts as it does."""
    letters = chance.choice((b"ab_", bytes(range(1, 256)), b"\xff\x80\x01", b"_sys.0123"))
    length = chance.choice(
        (0, 1, 2, 5, 12, 30, 254, 255, 256, 511, 600, LONGEST) if chance.random() < 0.1 else (3, 9, 15)
    )
    fresh = bytes(chance.choices(letters, k=length))
    known = chance.choice(before) if before else b""
    return chance.choice((fresh, fresh, known, (known[: chance.randrange(len(known) + 1)] + fresh)[:LONGEST]))


def sections_of(sections: Sequence[tuple[str, int, int, int]]) -> tuple[Array, list[str]]:
    """What collect() takes, of (name, size, flags, base) each."""
    fields = [(size, flags, base % (1 << 64)) for _, size, flags, base in sections]
    return np.array(fields, SECTION), [name for name, *_ in sections]


def a_table(seed: int, arch: Arch = X86_64, *, by_name: bool = True) -> Ksyms:
    """A table of random symbols, from none to hundreds; half of those by name have second names."""
    chance = random.Random(seed)
    count = chance.choice((0, 1, 2, NAMES, NAMES + 1, 40, 300))
    sections = []
    for i in range(chance.randint(1, 5)):
        size = chance.choice((0, 1, 0x1000, 0xFFFFFFFF))
        base = (i << 33) + chance.randrange(1 << 20) - (1 << 34)  # apart from one another
        absolute = chance.random() < 0.2
        sections.append((f".s{i}", size, ABSOLUTE * absolute, base + (1 << 40) * absolute))
    names: list[bytes] = []
    rows = np.zeros(count, ROW)
    letters = chance.choice((b"tTdD", bytes(range(0x21, 0x7F))))
    for i in range(count):
        names.append(a_name(chance, names))
        size = sections[section := chance.randrange(len(sections))][1]
        offset = chance.choice((0, size, max(size - 1, 0), chance.randint(0, size), 0xFFFFFFFF))
        extent = chance.choice((0, 1, 16, chance.randrange(1 << 14), 0xFFFFFFFF))
        if i and chance.random() < 0.2:
            section, offset = int(rows["section"][i - 1]), int(rows["offset"][i - 1])
        rows[i] = (section, offset, extent, chance.choice(letters))
    raw = [a_name(chance, names) for _ in names] if by_name and chance.random() < 0.5 else []
    return collect(arch, *sections_of(sections), rows, Names.of(names), "test", by_name=by_name, raw=raw)


def questions(table: Ksyms, at: int, seed: int) -> list[Question]:
    """Questions about all that a table has, and some that it has not."""
    chance = random.Random(seed)
    asked: list[Question] = [("g", index, chance.choice(ROOMS)) for index in range(len(table.rows) + 2)]
    asked += [("l", name, 0) for name in {*table.names, *table.raw, b"", b"nothing", b"\xff" * 300}]
    places = [
        runtime_ksyms.symbol(table, at, index).address + step
        for index in range(len(table.rows))
        for step in (-1, 0, 1, 7)
    ]
    ends = [int(base) + at + int(size) for base, size in zip(table.bases, table.sections["size"], strict=True)]
    for address in chance.sample(places, min(len(places), 200)) + ends + [0, 1, 2**64 - 1, at]:
        asked += [(kind, address % table.arch.modulus, chance.choice(ROOMS)) for kind in "fpr"]
    return asked


seeds = st.integers(0, 2**64 - 1)


def many(count: int) -> Ksyms:
    chance = random.Random(count)
    words = ["".join(chance.choices("abcdefghiklmnoprstuvw", k=chance.randint(2, 7))) for _ in range(900)]
    names = ["_".join(chance.choices(words, k=chance.randint(1, 4))).encode() for _ in range(count)]
    rows = np.zeros(count, ROW)
    rows["offset"], rows["size"], rows["type"] = np.arange(count) * 64, np.arange(count) % 65, ord("t")
    return collect(X86_64, *sections_of([(".text", count * 64, 0, -(1 << 30))]), rows, Names.of(names), "test")
