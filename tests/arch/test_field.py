"""The codec of fields, of whole bytes and of bits: against capstone, and against its C, made from the same records."""

import ctypes
from collections.abc import Callable

import capstone
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.arch import aarch64, field, riscv
from buildplug.arch.field import Field
from buildplug.arch.form import Form
from buildplug.stage.render import render
from tests.conftest import tool

FIELDS = (*field.FIELDS, *aarch64.FIELDS, *riscv.FIELDS)
PC = 0xFFFFFFFF81234560
# Instructions with a field, and the operand that has the address.
CODES = [
    *((capstone.CS_ARCH_ARM64, 0, form) for form in aarch64.FORMS if form.length == 4 and form.field.relative),
    *(
        (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC, form)
        for form in riscv.FORMS
        if form.field in (riscv.J, riscv.B, riscv.CJ, riscv.CB)
    ),
]


def numbers(size: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 8 * size) - 1)


@pytest.mark.parametrize("one", FIELDS, ids=lambda one: one.name)
@given(data=st.data())
def test_a_word_holds_what_it_says(one: Field, data: st.DataObject) -> None:
    word = data.draw(numbers(one.size))
    assert one.put(word, PC, one.get(word, PC)) == (word, True) or one.step > 1 or one.modulus < 1 << 64
    assert one.holds(*(one.put(word, PC, PC + 0x1000)[0], PC, PC + 0x1000)) == one.put(word, PC, PC + 0x1000)[1]


@pytest.mark.parametrize("one", FIELDS, ids=lambda one: one.name)
@given(data=st.data())
def test_bits_outside_of_the_field_stay(one: Field, data: st.DataObject) -> None:
    word, address = data.draw(numbers(one.size)), data.draw(numbers(8))
    assert (one.put(word, PC, address)[0] ^ word) & ~one.mask == 0


@pytest.mark.parametrize("one", FIELDS, ids=lambda one: one.name)
@given(data=st.data())
def test_arrays_are_as_numbers(one: Field, data: st.DataObject) -> None:
    words, pcs, addresses = (data.draw(st.lists(numbers(n), min_size=4, max_size=4)) for n in (one.size, 8, 8))
    word, pc, address = (np.array(column, "u8") for column in (words, pcs, addresses))
    rows = list(zip(words, pcs, addresses, strict=True))
    assert one.get(word, pc).tolist() == [one.get(*row[:2]) for row in rows]
    made, fits = one.put(word, pc, address)
    assert list(zip(made.tolist(), fits.tolist(), strict=True)) == [one.put(*row) for row in rows]


@pytest.mark.parametrize(("kind", "mode", "form"), CODES, ids=[form.name for *_, form in CODES])
@given(distance=st.integers(-(1 << 11), (1 << 11) - 1))
def test_capstone_reads_the_same_target(kind: int, mode: int, form: Form, distance: int) -> None:
    at = 0x10000000
    target = (at + distance * form.field.step) & -2
    word = int.from_bytes(form.code, "little")
    made, fits = form.field.put(word, at, target)
    if not fits:
        return
    (instruction,) = capstone.Cs(kind, mode).disasm(made.to_bytes(form.length, "little"), at)
    said = int(instruction.op_str.rpartition(", ")[2].lstrip("#"), 0)
    relative = kind == capstone.CS_ARCH_RISCV  # capstone gives the distance there
    assert (at + said if relative else said) % 2**64 == form.field.get(made, at)


@pytest.mark.parametrize(
    ("one", "distance", "fits"),
    [
        (aarch64.IMM26, (1 << 27) - 4, True), (aarch64.IMM26, 1 << 27, False), (aarch64.IMM26, 2, False),
        (aarch64.IMM14, -(1 << 15), True), (aarch64.IMM14, -(1 << 15) - 4, False),
        (riscv.PCREL_I, (1 << 31) - 0x801, True), (riscv.PCREL_I, (1 << 31) - 0x800, False),
        (riscv.PCREL_I, -(1 << 31) - 0x800, True), (riscv.PCREL_I, -(1 << 31) - 0x801, False),
        (riscv.CJ, 2046, True), (riscv.CJ, 2048, False), (riscv.B, 4094, True), (riscv.B, -4098, False),
    ],
)  # fmt: skip
def test_reach(one: Field, distance: int, fits: bool) -> None:
    assert one.put(0, 0x40000000000, 0x40000000000 + distance)[1] == fits


def test_high_and_low_part_of_a_pair_say_the_address_together() -> None:
    for address in (0x12345678, 0x12345FFF, 0x12345800, 0x123457FF):
        low = riscv.LO_I.get(riscv.LO_I.put(0, 0, address)[0], 0)
        assert riscv.HI.get(riscv.HI.put(0, 0, address)[0], 0) + (low ^ 0x800) - 0x800 == address
        assert aarch64.ADRP.get(*aarch64_page(address)) == address & ~0xFFF


def aarch64_page(address: int) -> tuple[int, int]:
    return aarch64.ADRP.put(0x90000000, 0x12000004, address)[0], 0x12000004


Codec = tuple[Callable[[int, bytes, int], int], Callable[[int, bytes, int, int], tuple[bytes, bool]]]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """The generated C, compiled for this machine."""
    folder = tmp_path_factory.mktemp("codec")
    (folder / "codec.c.j2").write_text(
        '{% include "types.h.j2" %}\n{% import "field_codec.c.j2" as field_codec %}\n{{ field_codec.codec(fields) }}\n'
        "uint64_t get_(int f, const uint8_t *b, uint64_t pc) { return get(f, b, pc); }\n"
        "int put_(int f, uint8_t *b, uint64_t pc, uint64_t a) { return put(f, b, pc, a); }\n"
    )
    named = [Field(f"f{i}", f.size, f.parts, f.base, f.step, f.modulus) for i, f in enumerate(FIELDS)]
    (folder / "codec.c").write_text(render("codec.c.j2", folder, fields=named))
    tool("gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "codec.c", "-o", "codec.so", cwd=folder)
    library = ctypes.CDLL(str(folder / "codec.so"))
    word = ctypes.c_uint64
    library.get_.restype = word

    def get(number: int, content: bytes, pc: int) -> int:
        return int(library.get_(number, content, word(pc)))

    def put(number: int, content: bytes, pc: int, address: int) -> tuple[bytes, bool]:
        buffer = ctypes.create_string_buffer(content, len(content))
        fits = bool(library.put_(number, buffer, word(pc), word(address)))
        return buffer.raw, fits

    return get, put


@pytest.mark.parametrize("number", range(len(FIELDS)), ids=lambda number: FIELDS[number].name)
@given(data=st.data())
def test_c_is_as_python(codec: Codec, number: int, data: st.DataObject) -> None:
    one = FIELDS[number]
    word, pc = data.draw(numbers(one.size)), data.draw(numbers(8))
    address = data.draw(st.one_of(numbers(8), st.integers(-(1 << 33), 1 << 33).map(lambda d: (pc + d) % 2**64)))
    content = word.to_bytes(one.size, "little")
    get, put = codec
    assert get(number, content, pc) == one.get(word, pc)
    made, fits = one.put(word, pc, address)
    assert put(number, content, pc, address) == (made.to_bytes(one.size, "little"), bool(fits))
