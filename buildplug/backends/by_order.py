"""What an instruction does to a state, and where it leads, where the decoder does not say how operands are used: their
order does. The first is written, unless the name says otherwise; loads and stores end with an offset and a base."""

from dataclasses import replace

import capstone

from buildplug.arch.decode import IMMEDIATE, MEMORY, REGISTER, register, writes
from buildplug.arch.field import PAGE
from buildplug.arch.model import Arch
from buildplug.backends.state import State, Value
from buildplug.base.records import frozen

SIGN = 1 << 31  # of the distance that an instruction adds to the pc


@frozen
class Branch:
    """A jump, or a call, to the address `target`, None if it is unknown; `falls`: whether a jump may continue at the
    next instruction; `unsure`: why it cannot be followed."""

    target: int | None
    call: bool = False
    falls: bool = False
    unsure: str = ""


def _registers(arch: Arch, instruction: capstone.CsInsn) -> list[str]:
    """The register operands, with the bases of memory operands, by full name."""
    numbers = [o.mem.base if o.type == MEMORY else o.reg for o in instruction.operands if o.type in (REGISTER, MEMORY)]
    return [register(arch, instruction.reg_name(number)) for number in numbers]


def _constant(instruction: capstone.CsInsn) -> int | None:
    """The constant, or offset, among the operands."""
    numbers = [o.mem.disp if o.type == MEMORY else o.imm for o in instruction.operands if o.type in (IMMEDIATE, MEMORY)]
    return numbers[-1] if numbers else None


def branch(arch: Arch, instruction: capstone.CsInsn, state: State) -> Branch | None:
    """Where an instruction leads; None if it only continues at the next."""
    name, links = instruction.mnemonic, arch.mnemonics.links
    names, offset = _registers(arch, instruction), _constant(instruction) or 0
    if name not in links:
        conditional = instruction.group(capstone.CS_GRP_BRANCH_RELATIVE)
        return Branch((instruction.address + offset) % arch.modulus, falls=True) if conditional else None
    indirect = name in arch.mnemonics.indirect
    origin = _value(arch, names[-1], state).address if indirect else instruction.address
    link = next(iter(names[:-1] if indirect else names), links[name])
    target = None if origin is None else (origin + offset) % arch.modulus
    unsure = "" if link in (arch.link, arch.zero) else f"it links by {link}, not by {arch.link}"
    return Branch(target, call=link != arch.zero, unsure=unsure)


def _value(arch: Arch, name: str, state: State) -> Value:
    return state.registers.get(name, Value(address=0) if name == arch.zero else Value())


def move(arch: Arch, instruction: capstone.CsInsn, text: str, state: State, written: dict[str, str]) -> None:
    """Applies an instruction that continues at the next one to a state."""
    name, mnemonics = instruction.mnemonic, arch.mnemonics
    names, constant = _registers(arch, instruction), _constant(instruction)
    changed = writes(arch, instruction)
    value = Value()
    if name in mnemonics.copy:
        value = _value(arch, names[1], state)
    elif name in mnemonics.page and constant is not None:
        signed = ((constant * PAGE) ^ SIGN) - SIGN
        value = Value(address=(instruction.address + signed) % arch.modulus)
    elif name in (*mnemonics.add, *mnemonics.load, *mnemonics.writes_memory):
        base = _value(arch, names[-1], state).distance
        at = None if base is None else base + (constant or 0)
        if name in mnemonics.add:
            value = Value(distance=at)
        elif name in mnemonics.load:
            value = state.stack.get(at, value) if at is not None else value
        elif at is None:
            written.setdefault("memory", text)
        else:
            for place in [place for place in state.stack if abs(place - at) < arch.word]:
                state.stack[place] = Value(writer=text)
            if name in mnemonics.store:
                state.stack[at] = _value(arch, names[0], state)
    elif "memory" in changed:
        written.setdefault("memory", text)
    for each in changed & state.registers.keys():
        state.registers[each] = replace(value, writer=text) if names[:1] == [each] else Value(writer=text)
