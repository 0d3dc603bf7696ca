"""The loop over instructions knows those of compilers, and says of them what capstone says, for any bytes."""

from itertools import accumulate, product

import capstone
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.image.code import Disassembler
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.native import loops
from tests.conftest import small_linux
from tests.linux_image import LONG_TERM

MACHINE = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
MACHINE.detail = True
ROOM = 16  # bytes for an instruction
PREFIXES = [
    bytes.fromhex(text)
    for text in (
        "", "66", "f0", "f3", "f2", "2e", "65", "48", "41", "6648", "f348", "f048", "66662e", "6548", "f365", "66f0",
    )
]  # fmt: skip
UNKNOWN = [bytes.fromhex(text) for text in ("67", "66f3", "f366", "67f3", "f0f3", "4866", "c5f8", "62")]
# ModRM and SIB: each reg with each kind of operand; and all that are instructions of their own in a register
OPERANDS = [
    bytes((mod << 6 | reg << 3 | rm, sib))
    for mod, reg, (rm, sib) in product(range(4), range(8), ((0, 0), (1, 0), (2, 0), (4, 0x25), (4, 0x24), (5, 0)))
]
SINGLE = [bytes((0x0F, opcode, modrm)) for opcode, modrm in product((0x01, 0x1E, 0xAE), range(0xC0, 0x100))]
TAIL = bytes.fromhex("1122334455667788")
CODES = [
    bytes([*escape, opcode, *operand]) for escape, opcode, operand in product((b"", b"\x0f"), range(256), OPERANDS)
]
OF_COMPILERS = [
    bytes.fromhex(text)
    for text in (
        "f30f1efa", "55", "4889e5", "e811223344", "0f8411223344", "488b042511223344", "f0480fb10e", "f348a5", "f6c101",
        "65488b042511223344", "48b81122334455667788", "c7450011223344", "f7d8", "0f01cb", "f390", "0faef0", "cc", "c3",
        "662e0f1f840000000000", "0f0b", "8f0424", "66f00fb10e",
    )
]  # fmt: skip


def single(codes: list[bytes]) -> Array:
    """loops.find_instructions() of the first instruction of each code."""
    starts = np.arange(len(codes)) * ROOM
    content = np.frombuffer(b"".join(code.ljust(ROOM, b"\0") for code in codes), "u1")
    found = loops.find_instructions(content, starts, starts)
    assert found is not None
    return np.where(found < 0, -1, found - starts[:, None])


@pytest.mark.parametrize("prefix", PREFIXES, ids=bytes.hex)
def test_what_it_knows_capstone_knows(prefix: bytes) -> None:
    codes = [(prefix + code + TAIL)[:ROOM] for code in (*CODES, *SINGLE)]
    found = single(codes)
    known = np.flatnonzero(found[:, 0] == 0).tolist()
    assert len(known) > 100
    for at in known:
        instruction = next(MACHINE.disasm(codes[at], 0, 1), None)
        said = (instruction.size, instruction.imm_offset or -1) if instruction else None
        assert (*found[at, 1:].tolist(),) == said, codes[at].hex()


@pytest.mark.parametrize("prefix", UNKNOWN, ids=bytes.hex)
def test_behind_rare_prefixes_it_knows_nothing(prefix: bytes) -> None:
    assert (single([(prefix + code + TAIL)[:ROOM] for code in CODES]) == -1).all()


def test_it_knows_no_instruction_of_16_bytes() -> None:
    assert single([bytes.fromhex("266426663e363e2645f61cc5663b6d91")]).tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize("code", OF_COMPILERS, ids=bytes.hex)
def test_what_compilers_emit_is_known(code: bytes) -> None:
    assert single([code]).tolist()[0][:2] == [0, len(code)]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(OF_COMPILERS) | st.binary(max_size=3), max_size=12), st.data())
def test_any_bytes_and_any_places(pieces: list[bytes], data: st.DataObject) -> None:
    content = b"".join(pieces)
    starts = [*accumulate(map(len, pieces), initial=0)]
    asked = st.tuples(st.sampled_from(starts) | st.integers(-3, 60), st.integers(-3, len(content) + 20))
    rows = data.draw(st.lists(asked, min_size=1, max_size=20))
    functions, places = np.array(rows, "i8").T
    found = loops.find_instructions(np.frombuffer(content, "u1"), functions, places)
    assert found is not None
    for function, place, row in zip(functions.tolist(), places.tolist(), found.tolist(), strict=True):
        alone = loops.find_instructions(np.frombuffer(content, "u1"), *np.array([[function], [place]]))
        assert alone is not None
        assert alone[0].tolist() == row
        if row[0] < 0:
            assert row == [-1, -1, -1]
            continue
        instruction = next(i for i in MACHINE.disasm(content[function:], function) if place < i.address + i.size)
        start, immediate = instruction.address, instruction.imm_offset
        assert row == [start, start + instruction.size, start + immediate if immediate else -1]


@pytest.mark.linux
@pytest.mark.parametrize("section", [".text", ".init.text"])
def test_nearly_all_of_linux_is_known_as_capstone_has_it(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(small_linux(LONG_TERM))
    code = image.sections[image.sections.names.index(section)]
    disassembler = Disassembler(image, code)
    places = np.sort(np.random.default_rng(0).integers(0, code.size, 20_000))
    functions = disassembler._starts[np.searchsorted(disassembler._starts, places, "right") - 1]
    own = loops.find_instructions(image.bytes_of(code), functions, places)
    assert own is not None
    known = own[:, 0] >= 0
    assert np.mean(known) > 0.98
    monkeypatch.setattr(loops, "library", lambda: None)
    by_capstone = disassembler.extents(places)
    assert (own[known, :2] == by_capstone[known, :2]).all()
    for start, end, immediate in own[known].tolist():
        offset = disassembler.instruction(start, end).imm_offset
        assert immediate == (start + offset if offset else -1)
