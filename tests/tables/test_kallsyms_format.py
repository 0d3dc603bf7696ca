"""Linux's kallsyms: round trips, the assembly through gcc, and byte for byte what scripts/kallsyms makes."""

import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.image.names import Names
from buildplug.select.symbols import selected
from buildplug.stage.render import render
from buildplug.tables import kallsyms_format
from buildplug.tables.kallsyms import FORMS, kallsyms_of
from buildplug.tables.kallsyms_assembly import assembly
from buildplug.tables.kallsyms_format import LONGEST, PC_RELATIVE, PERCPU, UNSIGNED, Kallsyms, decode
from tests.conftest import Link, tool
from tests.linux_image import Linux
from tests.samples import buildplug, one_line

BASE = 0xFFFFFFFF81000000
PRINTABLE = bytes(range(0x21, 0x7F)).translate(None, b'"\\')

LABELS = (
    "offsets", "relative_base", "num_syms", "names", "markers", "seqs_of_names", "token_table", "token_index",
)  # fmt: skip

Symbols = tuple[Array, Array, list[bytes]]  # addresses, types, names


def encode(
    addresses: Array, types: Array, names: list[bytes], where: str, held: str = PERCPU, place: int | None = None
) -> Kallsyms:
    return kallsyms_format.encode(addresses, types, Names.of(names), where, held, place)


def some(seed: int, letters: bytes, longest: int = LONGEST, held: str = PERCPU) -> Symbols:
    """Random symbols, many at one address or of one name, some per-CPU if addresses are held so, as nm -n sorts."""
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
    if held == PERCPU and chance.random() < 0.5:
        rows += [(chance.randrange(0x1F00), ord("d"), bytes(chance.choices(letters, k=9))) for _ in range(20)]
        rows += [(0, ord("D"), b"__per_cpu_start"), (0x1F00, ord("D"), b"__per_cpu_end")]
    rows += [(BASE, ord("T"), b"_text")] * bool(rows)
    rows.sort(key=lambda row: (row[0], row[2]))
    addresses, types = (np.array([row[i] for row in rows], kind) for i, kind in enumerate(("u8", "u1")))
    return addresses, types, [row[2] for row in rows]


def tables_in(image: Image) -> Kallsyms:
    """The tables that an image has, by the symbols of their parts."""
    section = image.section_at(image.address_of("kallsyms_offsets") or 0)
    assert section
    found = {name: image.address_of(f"kallsyms_{name}") for name in LABELS}
    starts = {name: address - section.address for name, address in found.items() if address is not None}
    data = image.bytes_of(section).tobytes()
    count, based = int.from_bytes(data[starts["num_syms"] :][:4], "little"), "relative_base" in starts
    return Kallsyms(
        np.frombuffer(data, "<i4", count, starts["offsets"]),
        int.from_bytes(data[starts["relative_base"] :][:8], "little") if based else found["offsets"] or 0,
        data[starts["names"] : starts["markers"]],
        np.frombuffer(data, "<u4", -(-count // 256), starts["markers"]),
        data[starts["seqs_of_names"] :][: 3 * count],
        data[starts["token_table"] : starts["token_index"]],
        np.frombuffer(data, "<u2", 256, starts["token_index"]),
        held=PERCPU if based else PC_RELATIVE,
    )


def text_of(tables: Kallsyms, name: str) -> str:
    return render("kallsyms.S.j2", Path(), **assembly(tables, BASE, FORMS[name]))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), hostile=st.booleans(), held=st.sampled_from((PERCPU, UNSIGNED, PC_RELATIVE)))
def test_decoding_gives_back_what_was_encoded(seed: int, hostile: bool, held: str) -> None:
    addresses, types, names = some(seed, bytes(range(1, 256)) if hostile else PRINTABLE, held=held)
    tables = encode(addresses, types, names, "test", held)
    found = decode(tables, "test")
    assert sorted(tables.order.tolist()) == list(range(len(names)))
    assert found.addresses.tolist() == addresses[tables.order].tolist() == sorted(addresses.tolist())
    assert found.names == tuple(names[i] for i in tables.order.tolist())
    changed = {(chr(b), chr(a)) for a, b in zip(found.types, types[tables.order].tolist(), strict=True) if a != b}
    assert all(now == "A" and held == PERCPU for _, now in changed)
    assert [found.names[i] for i in found.seqs.tolist()] == sorted(names)


@pytest.mark.linux
@settings(max_examples=100)
@given(seed=st.integers(0, 2**64 - 1))
def test_assembly_of_any_symbols_is_that_of_scripts_kallsyms(
    linux: Linux, linux_tree: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    # Its buffer to sort names in is one byte too short; and a name with */ would end its comment: ours does not.
    listed = tmp_path_factory.mktemp("map") / "symbols"
    for held in (PC_RELATIVE,) if f"--{PC_RELATIVE}" in linux.kallsyms else (PERCPU, UNSIGNED):
        addresses, types, names = some(seed, PRINTABLE.replace(b"*", b""), LONGEST - 1, held)
        rows = [b"%016x %c %s\n" % row for row in zip(addresses.tolist(), types.tolist(), names, strict=True)]
        listed.write_bytes(b"".join(rows))
        options = [word for word in linux.kallsyms if word != f"--{PERCPU}" or held == PERCPU]
        expected = tool(linux_tree / "scripts/kallsyms", *options, listed)
        assert text_of(encode(addresses, types, names, "test", held), linux.format) == expected


def test_no_symbols_are_tables_too() -> None:
    found = decode(encode(np.zeros(0, "u8"), np.zeros(0, "u1"), [], "test"), "test")
    assert (len(found.addresses), found.types, found.names, len(found.seqs)) == (0, b"", (), 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_assembly_becomes_the_tables(tmp_path: Path, seed: int, form: str) -> None:
    held = FORMS[form].held or PERCPU
    addresses, types, names = some(seed, bytes(range(1, 256)), held=held)
    tables = encode(addresses, types, names, "test", held)
    (tmp_path / "asm").mkdir()
    (tmp_path / "asm/bitsperlong.h").write_text("#define BITS_PER_LONG 64\n")
    (tmp_path / "kallsyms.S").write_text(text_of(tables, form))
    tool("gcc", "-I.", "-c", "kallsyms.S", cwd=tmp_path)
    tool("ld", "-e", "0", "-Ttext=0", f"--defsym=_text={BASE:#x}", "kallsyms.o", "-o", "image", cwd=tmp_path)
    found, expected = decode(tables_in(Image(tmp_path / "image")), "image"), decode(tables, "test")
    assert (found.types, found.names) == (expected.types, expected.names)
    assert np.array_equal(found.addresses, expected.addresses)
    assert np.array_equal(found.seqs, expected.seqs)


def forged(tables: Kallsyms, chance: random.Random) -> Kallsyms:
    """The tables with one of them changed, or cut off."""
    field = chance.choice(("names", "markers", "seqs_of_names", "token_table", "token_index"))
    part = getattr(tables, field)
    data = bytearray(part if isinstance(part, bytes) else part.tobytes())
    size = chance.randrange(len(data) + 1) // 8 * 8
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
    changed = bytes(data[:size] if chance.random() < 0.3 else data)
    values: dict[str, Any] = {field: changed if isinstance(part, bytes) else np.frombuffer(changed, part.dtype)}
    return replace(tables, **values)


@given(seed=st.integers(0, 2**64 - 1))
def test_forged_tables_decode_or_are_refused(seed: int) -> None:
    tables = encode(*some(seed, PRINTABLE), "test")
    try:
        found = decode(forged(tables, random.Random(seed)), "vmlinux")
    except BuildplugError as error:
        assert str(error).startswith("vmlinux: expected kallsyms tables, found ")
    else:
        assert len(found.names) == len(tables.offsets)


@pytest.mark.parametrize(
    ("address", "name", "message"),
    [
        (BASE, b"x" * 512, "symbol x{80}: expected a name of at most 511 bytes, found 512; exclude it in"),
        (
            BASE + (1 << 31),
            b"far",
            "symbol far: expected an address below 0xffff000001000000, found 0xffff000001000000",
        ),
    ],
)
def test_a_symbol_that_does_not_fit_is_named(address: int, name: bytes, message: str) -> None:
    base = BASE - (1 << 48)
    addresses = np.array([base, base + address - BASE], "u8")
    with pytest.raises(BuildplugError, match=f"^rule mine: {message}"):
        encode(addresses, np.array([0x74, 0x74], "u1"), [b"first", name], "rule mine")


def test_a_percpu_symbol_beyond_2_gib_is_named() -> None:
    addresses, types = np.array([0, 1 << 31, 1 << 32], "u8"), np.array([0x44] * 3, "u1")
    with pytest.raises(BuildplugError, match="symbol far: expected an absolute address below 2 GiB, found 0x80000000"):
        encode(addresses, types, [b"__per_cpu_start", b"far", b"__per_cpu_end"], "rule mine")


def test_an_unsigned_offset_reaches_4_gib() -> None:
    base = BASE - (1 << 40)
    addresses, types = np.array([base, base + (1 << 32) - 1], "u8"), np.array([0x54] * 2, "u1")
    assert encode(addresses, types, [b"first", b"near"], "rule mine", UNSIGNED).offsets.tolist() == [0, (1 << 32) - 1]
    addresses[1] += np.uint64(1)
    with pytest.raises(BuildplugError, match=r"symbol far: expected an address below 0x\w+, found"):
        encode(addresses, types, [b"first", b"far"], "rule mine", UNSIGNED)


def test_a_distance_reaches_2_gib_from_its_place() -> None:
    place = BASE - (1 << 40)
    addresses, types = np.array([place - (1 << 31), place + (1 << 31) + 3], "u8"), np.array([0x54] * 2, "u1")
    found = encode(addresses, types, [b"first", b"last"], "rule mine", PC_RELATIVE, place)
    assert found.offsets.tolist() == [-(1 << 31), (1 << 31) - 1]
    addresses[1] += np.uint64(1)
    with pytest.raises(BuildplugError, match=r"symbol last: expected an address less than 2 GiB from the table at 0xf"):
        encode(addresses, types, [b"first", b"last"], "rule mine", PC_RELATIVE, place)


def test_an_image_without_text_is_one_line(link: Link) -> None:
    failed = buildplug("ksyms", link(".globl f\nf: nop").path, "--format", "kallsyms")
    assert failed.returncode == 1
    assert "expected the symbol _text, found none; define it where the kernel starts" in one_line(failed.stderr)


def test_tables_of_an_image_name_what_nm_does(link: Link) -> None:
    source = ".globl _text\n_text: nop\n.type f, @function\nf: ret\n.weak g\ng: nop\n.set constant, 5"
    image = link(source + '\n.data\n"\\377name": .quad 0\n.Llocal: $mapping: .quad 0', flags=("--discard-none",))
    listed = subprocess.run(["nm", "-n", image.path], capture_output=True, check=True).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in listed]
    found = decode(kallsyms_of(image, find("linux-kallsyms", Path())), "test")
    expected = [(int(a, 16), t[0], n) for a, t, n in rows if t != b"a" and n[:1] not in (b"$", b".")]
    assert len(expected) == 4
    assert sorted(zip(found.addresses.tolist(), found.types, found.names, strict=True)) == sorted(expected)


@pytest.mark.parametrize("rule", [*(f"linux-{form}" for form in FORMS), "ksyms"])
def test_only_symbols_of_tables_are_left_out_not_all_of_one_prefix(link: Link, rule: str) -> None:
    image = link(
        ".globl _text, __bp_harden_el1_vectors\n_text: nop\n__bp_harden_el1_vectors: nop\n__bp_t_section_0: nop"
    )
    chosen = image.name_table.texts(selected(image, find(rule, Path())))
    assert b"__bp_harden_el1_vectors" in chosen  # Linux for arm64 has it
    assert (b"__bp_t_section_0" in chosen) == (rule != "ksyms")
