"""The loop over instructions knows those of compilers, and says of them what capstone says, for any bytes."""

from itertools import product
from pathlib import Path

import capstone
import numpy as np
import pytest
from hypothesis import given
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
        "", "66", "f0", "f3", "f2", "2e", "65", "67", "48", "41", "6648", "f348", "f048", "66662e", "6548", "f365",
        "66f3", "f366", "66f0", "67f3",
    )
]  # fmt: skip
# ModRM and SIB: each reg with each kind of operand; and what is an instruction of its own in a register
OPERANDS = [
    bytes((mod << 6 | reg << 3 | rm, sib))
    for mod, reg, (rm, sib) in product(range(4), range(8), ((0, 0), (1, 0), (2, 0), (4, 0x25), (4, 0x24), (5, 0)))
]
TAIL = bytes.fromhex("1122334455667788")


def single(codes: list[bytes]) -> Array:
    """loops.find_instructions() of the first instruction of each code."""
    starts = np.arange(len(codes)) * ROOM
    found = loops.find_instructions(
        np.frombuffer(b"".join(code.ljust(ROOM, b"\0") for code in codes), "u1"), starts, starts
    )
    assert found is not None
    return np.where(found < 0, -1, found - starts[:, None])


@pytest.mark.parametrize("prefix", PREFIXES, ids=bytes.hex)
def test_what_it_knows_capstone_knows(prefix: bytes) -> None:
    codes = [
        (prefix + escape + bytes([opcode]) + operand + TAIL)[:ROOM]
        for escape, opcode, operand in product((b"", b"\x0f"), range(256), OPERANDS)
    ]
    found = single(codes)
    for at in np.flatnonzero(found[:, 0] == 0).tolist():
        instruction = next(MACHINE.disasm(codes[at], 0, 1), None)
        said = (instruction.size, instruction.imm_offset or -1) if instruction else None
        assert (*found[at, 1:].tolist(),) == said, codes[at].hex()


@pytest.mark.parametrize(
    "code",
    [
        "f30f1efa", "55", "4889e5", "e811223344", "0f8411223344", "488b042511223344", "f0480fb10e", "f348a5", "f6c101",
        "65488b042511223344", "48b81122334455667788", "c7450011223344", "f7d8", "0f01cb", "f390", "0faef0", "cc", "c3",
        "662e0f1f840000000000", "0f0b", "8f0424",
    ],
)  # fmt: skip
def test_what_compilers_emit_is_known(code: str) -> None:
    content = bytes.fromhex(code)
    assert single([content]).tolist()[0][:2] == [0, len(content)]


@given(
    st.lists(st.sampled_from([*PREFIXES[1:], *OPERANDS, b"\x0f", b"\xe8", b"\x8b", b"\xc7"]) | st.binary(max_size=6)),
    st.lists(st.tuples(st.integers(-3, 60), st.integers(-3, 60)), max_size=20),
)
def test_any_bytes_and_any_places(pieces: list[bytes], asked: list[tuple[int, int]]) -> None:
    content = b"".join(pieces)
    functions, places = np.array(asked, "i8").reshape(-1, 2).T
    found = loops.find_instructions(np.frombuffer(content, "u1"), functions, places)
    assert found is not None
    for function, place, (start, end, immediate) in zip(
        functions.tolist(), places.tolist(), found.tolist(), strict=True
    ):
        if start < 0:
            assert (end, immediate) == (-1, -1)
            continue
        instruction = next(i for i in MACHINE.disasm(content[function:], function) if place < i.address + i.size)
        assert (start, end) == (instruction.address, instruction.address + instruction.size)
        assert immediate == (start + instruction.imm_offset if instruction.imm_offset else -1)


@pytest.mark.linux
@pytest.mark.parametrize("section", [".text", ".init.text"])
def test_nearly_all_of_linux_is_known_and_none_otherwise(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(Path(small_linux(LONG_TERM)))
    code = image.sections[image.sections.names.index(section)]
    places = np.sort(np.random.default_rng(0).integers(0, code.size, 20_000))
    expected = Disassembler(image, code).extents(places)
    known = expected[:, 0] >= 0
    functions = Disassembler(image, code)._starts
    own = loops.find_instructions(
        image.bytes_of(code), functions[np.searchsorted(functions, places, "right") - 1], places
    )
    assert own is not None
    assert np.mean(own[:, 0] >= 0) > 0.98
    monkeypatch.setattr(loops, "library", lambda: None)
    alone = Disassembler(image, code).extents(places)
    assert (alone[:, :2] == expected[:, :2]).all()
    assert known.mean() > 0.98
