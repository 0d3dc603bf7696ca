"""Linux's kallsyms: round trips, and byte for byte what scripts/kallsyms makes."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.elf import Array
from buildplug.linux_kallsyms import LONGEST, Kallsyms, assembly, decode, encode
from buildplug.render import render

BASE = 0xFFFFFFFF81000000
PRINTABLE = bytes(range(0x21, 0x7F)).translate(None, b'"\\')
OPTIONS = ("--all-symbols", "--absolute-percpu", "--base-relative")

Symbols = tuple[Array, Array, list[bytes]]  # addresses, types, names


def some(seed: int, letters: bytes, longest: int = LONGEST) -> Symbols:
    """Random symbols, many at one address or of one name, some per-CPU, in the order of nm -n."""
    chance = random.Random(seed)
    words = [bytes(chance.choices(letters, k=chance.randint(1, 6))) for _ in range(30)]
    count = chance.choice((1, 2, 255, 256, 257, 300))
    rows = []
    for _ in range(count):
        name = chance.choice((b"", b"_", b"__", b"__start_")) + b"_".join(chance.choices(words, k=chance.randint(1, 3)))
        name = chance.choice((name, name, name, name + chance.choice((b"_start", b"_end"))))
        if chance.random() < 0.02:
            name = bytes(chance.choices(letters, k=chance.choice((126, 127, 128, longest))))
        address = BASE + chance.choice((chance.randrange(1 << 30), chance.randrange(40)))
        rows.append((address, chance.choice(b"TtdDWV"), name))
    if chance.random() < 0.5:
        rows += [(chance.randrange(0x1F00), ord("d"), bytes(chance.choices(letters, k=9))) for _ in range(20)]
        rows += [(0, ord("D"), b"__per_cpu_start"), (0x1F00, ord("D"), b"__per_cpu_end")]
    rows += [(BASE, ord("T"), b"_text")] * bool(rows)
    rows.sort(key=lambda row: (row[0], row[2]))
    addresses, types = (np.array([row[i] for row in rows], kind) for i, kind in enumerate(("u8", "u1")))
    return addresses, types, [row[2] for row in rows]


def text_of(tables: Kallsyms) -> str:
    return render("kallsyms.S.j2", Path(), **assembly(tables, BASE))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), hostile=st.booleans())
def test_decoding_gives_back_what_was_encoded(seed: int, hostile: bool) -> None:
    addresses, types, names = some(seed, bytes(range(1, 256)) if hostile else PRINTABLE)
    tables = encode(addresses, types, names, "test")
    found = decode(tables, "test")
    assert sorted(tables.order.tolist()) == list(range(len(names)))
    assert found.addresses.tolist() == addresses[tables.order].tolist() == sorted(addresses.tolist())
    assert found.names == tuple(names[i] for i in tables.order.tolist())
    changed = {(chr(b), chr(a)) for a, b in zip(found.types, types[tables.order].tolist(), strict=True) if a != b}
    assert all(now == "A" for _, now in changed)
    assert [found.names[i] for i in found.seqs.tolist()] == sorted(names)


@pytest.mark.linux
@settings(max_examples=100)
@given(seed=st.integers(0, 2**64 - 1))
def test_assembly_of_any_symbols_is_that_of_scripts_kallsyms(
    vmlinux: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    addresses, types, names = some(seed, PRINTABLE, LONGEST - 1)  # its buffer to sort names in is one byte too short
    listed = tmp_path_factory.mktemp("map") / "symbols"
    rows = [b"%016x %c %s\n" % row for row in zip(addresses.tolist(), types.tolist(), names, strict=True)]
    listed.write_bytes(b"".join(rows))
    expected = subprocess.run([vmlinux.parent / "scripts/kallsyms", *OPTIONS, listed], capture_output=True, check=True)
    assert text_of(encode(addresses, types, names, "test")) == expected.stdout.decode()


def test_no_symbols_are_tables_too() -> None:
    found = decode(encode(np.zeros(0, "u8"), np.zeros(0, "u1"), [], "test"), "test")
    assert (len(found.addresses), found.types, found.names, len(found.seqs)) == (0, b"", (), 0)
