"""Instructions, decoded by capstone: where they begin, how they use an operand, which registers they write.

Only for inline code, and for sites that their bytes alone do not settle.
"""

from collections.abc import Iterator
from functools import cache

import capstone

from buildplug.arch.model import Arch

WRITE = capstone.CS_AC_WRITE
REGISTER, MEMORY, IMMEDIATE = capstone.CS_OP_REG, capstone.CS_OP_MEM, capstone.CS_OP_IMM


@cache
def decoder(mode: tuple[int, int], detail: bool) -> capstone.Cs:
    """A decoder for Arch.capstone; cached, as creating one takes longer than decoding a function."""
    made = capstone.Cs(*mode)
    made.detail = detail
    return made


def instructions(arch: Arch, code: bytes, address: int) -> Iterator[capstone.CsInsn]:
    """The instructions of `code`, up to the first byte that does not decode."""
    yield from decoder(arch.capstone, True).disasm(code, address)


def register(arch: Arch, name: str) -> str:
    """The full register that `name` is a part of."""
    return arch.aliases.get(name, name)


def slot_use(arch: Arch, instruction: capstone.CsInsn, field: int) -> str:
    """How an instruction uses the slot whose address is in its field at offset `field`: one of IGNORED_KINDS."""
    if instruction.imm_offset == field:
        return "slot-address"
    operand = next((o for o in instruction.operands if o.type == MEMORY), None)
    if instruction.disp_offset != field or operand is None:
        return "other"
    if operand.mem.index or (operand.mem.base and not pc_relative(arch, instruction)):
        return "indexed"
    if instruction.mnemonic in arch.mnemonics.address:
        return "slot-address"
    if instruction.group(capstone.CS_GRP_CALL) or instruction.group(capstone.CS_GRP_JUMP):
        return "other"  # a call through the slot of no known form, such as one with a prefix
    if instruction.mnemonic in arch.mnemonics.compare:
        return "slot-compare"
    return "slot-store" if operand.access & WRITE else "slot-load"


def writes(arch: Arch, instruction: capstone.CsInsn) -> set[str]:
    """The full names of the registers that an instruction writes; also "flags", and "memory" for stores other than a
    push's."""
    known = arch.mnemonics.writes
    for name in (f"{instruction.mnemonic} {instruction.op_str.partition(',')[0]}", instruction.mnemonic):
        if name in known:
            return set(known[name])
    if arch.mnemonics.reads:
        first = [instruction.reg_name(o.reg) for o in instruction.operands[:1] if o.type == REGISTER]
        stored = {"memory"} if instruction.mnemonic in arch.mnemonics.writes_memory else set()
        unwritten = instruction.mnemonic in arch.mnemonics.reads or first == [arch.zero]
        return stored if unwritten else stored | {register(arch, name) for name in first}
    written = {register(arch, instruction.reg_name(r)) for r in instruction.regs_access()[1]}
    for operand in instruction.operands:
        unsure = bool(arch.instruction) and operand.access == 0  # the decoder does not know
        if operand.type == MEMORY and (
            operand.access & WRITE or unsure or instruction.mnemonic in arch.mnemonics.writes_memory
        ):
            written.add("memory")
        elif operand.type == REGISTER and unsure:
            written.add(register(arch, instruction.reg_name(operand.reg)))
    return written


LEAVING = {
    capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL, capstone.CS_GRP_RET, capstone.CS_GRP_BRANCH_RELATIVE,
    capstone.CS_GRP_INT, capstone.CS_GRP_IRET,
}  # fmt: skip


def transfers_control(arch: Arch, instruction: capstone.CsInsn) -> bool:
    """Whether execution may continue elsewhere than at the next instruction."""
    if instruction.mnemonic in arch.mnemonics.writes:
        return False
    return instruction.mnemonic in arch.mnemonics.away or not LEAVING.isdisjoint(instruction.groups)


def names_register(arch: Arch, instruction: capstone.CsInsn, name: str) -> bool:
    """Whether a register is an explicit operand of an instruction, or part of a memory operand's address."""
    used = set()
    for operand in instruction.operands:
        if operand.type == MEMORY:
            used |= {operand.mem.base, getattr(operand.mem, "index", 0)}  # riscv64's have none
        elif operand.type == capstone.CS_OP_REG:
            used.add(operand.reg)
    return name in {register(arch, instruction.reg_name(number)) for number in used if number}


def pc_relative(arch: Arch, instruction: capstone.CsInsn) -> bool:
    """Whether an operand of an instruction is relative to the program counter."""
    types = [operand.type for operand in instruction.operands]
    if instruction.mnemonic in arch.mnemonics.literal and IMMEDIATE in types and MEMORY not in types:
        return True
    bases = [instruction.reg_name(o.mem.base) for o in instruction.operands if o.type == MEMORY and o.mem.base]
    return any(base in arch.pc for base in bases)
