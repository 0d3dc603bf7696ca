"""Instructions, by capstone: where they begin, what they do with an operand, which registers they write.

Asked only where the bytes before a field are not enough, and for inline code.
"""

from collections.abc import Iterator
from functools import cache, cached_property

import capstone
import numpy as np

from buildplug.arch import Arch
from buildplug.elf import STT_FUNC, STT_NOTYPE, STT_OBJECT, Image, Section, among

WRITE = capstone.CS_AC_WRITE
MEMORY, IMMEDIATE = capstone.CS_OP_MEM, capstone.CS_OP_IMM


@cache
def _machine(mode: tuple[int, int], detail: bool) -> capstone.Cs:
    """A decoder for Arch.capstone; to make one takes longer than to decode a function."""
    machine = capstone.Cs(*mode)
    machine.detail = detail
    return machine


def instructions(arch: Arch, code: bytes, address: int) -> Iterator[capstone.CsInsn]:
    """The instructions of `code`, up to the first byte that decodes to none."""
    yield from _machine(arch.capstone, True).disasm(code, address)


def register(arch: Arch, name: str) -> str:
    """The full register that `name` is a part of."""
    return arch.aliases.get(name, name)


class Sweeper:
    """Decodes a section of code from the start of a function on, as its bytes alone do not say where instructions
    begin."""

    def __init__(self, image: Image, section: Section):
        self.image, self.section = image, section

    @cached_property
    def _starts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        symbols = self.image.symbols
        mine = (symbols["section"] == self.section.index) & among(symbols["type"], (STT_FUNC, STT_NOTYPE))
        return np.sort((symbols["value"][mine] - np.uint64(self.section.address)).astype("i8"))

    @cached_property
    def _objects(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
        symbols = self.image.symbols
        mine = symbols[(symbols["section"] == self.section.index) & (symbols["type"] == STT_OBJECT)]
        starts = (mine["value"] - np.uint64(self.section.address)).astype("i8")
        order = np.argsort(starts, kind="stable")
        return starts[order], (starts + mine["size"].astype("i8"))[order]

    def is_data(
        self, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each offset lies in a data object: everywhere in a section without code, else by STT_OBJECT."""
        if not self.section.executable:
            return np.ones(len(offsets), bool)
        starts, ends = self._objects
        if not len(starts):
            return np.zeros(len(offsets), bool)
        nearest = np.searchsorted(starts, offsets, "right") - 1
        return (nearest >= 0) & (offsets < ends[nearest])

    def instruction(self, offset: int) -> capstone.CsInsn | None:
        """The instruction that the byte at `offset` is a part of; None if the code before it does not decode."""
        index = int(np.searchsorted(self._starts, offset, "right")) - 1
        if index < 0:
            return None
        start = int(self._starts[index])
        content = self.image.bytes_of(self.section)
        machine = _machine(self.image.arch.capstone, False)
        code = content[start : offset + 16].tobytes()
        for address, length, _, _ in machine.disasm_lite(code, self.section.address + start):
            place = address - self.section.address
            if place + length > offset:
                return next(instructions(self.image.arch, content[place : place + length].tobytes(), address))
        return None


def slot_use(arch: Arch, instruction: capstone.CsInsn, field: int) -> str:
    """What an instruction does with a slot whose address is in the field at `field` (bytes): one of arch.LEFT_KINDS."""
    if instruction.imm_offset == field:
        return "slot-address"
    operand = next((o for o in instruction.operands if o.type == MEMORY), None)
    if instruction.disp_offset != field or operand is None:
        return "other"
    if operand.mem.index or (operand.mem.base and not pc_relative(arch, instruction)):
        return "indexed"
    if instruction.mnemonic == "lea":
        return "slot-address"
    if instruction.group(capstone.CS_GRP_CALL) or instruction.group(capstone.CS_GRP_JUMP):
        return "other"  # a call through the slot in a form that no fixup knows, such as one with a prefix
    if instruction.mnemonic in ("cmp", "test"):
        return "slot-compare"
    return "slot-store" if operand.access & WRITE else "slot-load"


def writes(arch: Arch, instruction: capstone.CsInsn) -> set[str]:
    """Full names of the registers that an instruction writes; "flags" and "memory" (the stack apart) among them."""
    written = {register(arch, instruction.reg_name(r)) for r in instruction.regs_access()[1]}
    if any(o.type == MEMORY and o.access & WRITE for o in instruction.operands):
        written.add("memory")
    return written


def leaves(instruction: capstone.CsInsn) -> bool:
    """Whether an instruction may go elsewhere than to the next one."""
    groups = (
        capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL, capstone.CS_GRP_RET, capstone.CS_GRP_BRANCH_RELATIVE,
        capstone.CS_GRP_INT, capstone.CS_GRP_IRET,
    )  # fmt: skip
    return any(instruction.group(group) for group in groups)


def names_register(arch: Arch, instruction: capstone.CsInsn, name: str) -> bool:
    """Whether a register is among an instruction's own operands, or addresses one."""
    used = set()
    for operand in instruction.operands:
        if operand.type == MEMORY:
            used |= {operand.mem.base, operand.mem.index}
        elif operand.type == capstone.CS_OP_REG:
            used.add(operand.reg)
    return name in {register(arch, instruction.reg_name(number)) for number in used if number}


def pc_relative(arch: Arch, instruction: capstone.CsInsn) -> bool:
    """Whether what an instruction refers to depends on where it stands."""
    bases = [instruction.reg_name(o.mem.base) for o in instruction.operands if o.type == MEMORY and o.mem.base]
    return any(base in arch.pc for base in bases)
