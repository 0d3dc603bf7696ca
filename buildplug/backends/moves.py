"""What an instruction does to a state, where all instructions are of one length: loads and stores of several registers,
with writeback of the address."""

from dataclasses import replace

import capstone

from buildplug.arch.decode import IMMEDIATE, MEMORY, REGISTER, register, writes
from buildplug.arch.model import Arch
from buildplug.backends.state import State, Value

ZERO = ("xzr", "wzr")
VECTOR = 16  # bytes of the longest register


def move(arch: Arch, instruction: capstone.CsInsn, text: str, state: State, written: dict[str, str]) -> None:
    """Applies an instruction that continues at the next one to a state."""
    registers, operands, name = state.registers, instruction.operands, instruction.mnemonic
    names = [instruction.reg_name(o.reg) if o.type == REGISTER else "" for o in operands]
    whole = [bool(each) and not each.startswith(arch.narrow) for each in names]
    names = [register(arch, each) for each in names]
    unknown = Value(writer=text)
    changed = writes(arch, instruction) - arch.pc
    values = dict.fromkeys(changed & registers.keys(), unknown)
    if whole[:1] == [True] and names[0] in values:
        values[names[0]] = replace(_value(arch, instruction, names, whole, state) or unknown, writer=text)
    if "flags" in values and name == arch.mnemonics.flags[1]:
        values["flags"] = replace(registers.get(names[-1], unknown), writer=text)
    place = next((i for i, operand in enumerate(operands) if operand.type == MEMORY), None)
    if place is not None:
        base, moved, at = _address(arch, instruction, place, state)
        simple = all(whole[:place]) and all(each in registers or each in ZERO for each in names[:place])
        if name in arch.mnemonics.load and simple and at is not None:
            for number, each in enumerate(names[:place]):
                values[each] = replace(state.stack.get(at + number * arch.word, unknown), writer=text)
        elif "memory" in changed and at is None:
            written.setdefault("memory", text)
        elif "memory" in changed and at is not None:
            kept = name in arch.mnemonics.store and simple
            general = all(each in registers or each in ZERO for each in names[:place])
            size = place * (arch.word if general else VECTOR)
            for each in [each for each in state.stack if at - arch.word < each < at + size]:
                state.stack[each] = unknown
            for number, each in enumerate(names[:place] if kept else ()):
                state.stack[at + number * arch.word] = registers.get(each, unknown)
        if instruction.writeback:
            values[base] = Value(distance=moved, writer=text)
    elif "memory" in changed:
        written.setdefault("memory", text)
    registers.update({each: value for each, value in values.items() if each in registers})


def _value(
    arch: Arch, instruction: capstone.CsInsn, names: list[str], whole: list[bool], state: State
) -> Value | None:  # fmt: skip
    """What a copy, or an addition of a constant, leaves in its first operand; None if that is not known."""
    operands, mnemonics = instruction.operands, arch.mnemonics
    if instruction.mnemonic == mnemonics.flags[0] and instruction.op_str.endswith(f", {mnemonics.flags[2]}"):
        return state.registers["flags"]
    source = state.registers.get(names[1]) if len(names) > 1 and whole[1] else None
    if source is None:
        return None
    if instruction.mnemonic in mnemonics.copy and len(operands) == 2:
        return source
    if instruction.mnemonic in mnemonics.add and len(operands) == 3 and operands[2].type == IMMEDIATE:
        amount = mnemonics.add[instruction.mnemonic] * (operands[2].imm << operands[2].shift.value)
        return Value(distance=source.distance + amount) if source.distance is not None else None
    return None


def _address(arch: Arch, instruction: capstone.CsInsn, place: int, state: State) -> tuple[str, int | None, int | None]:
    """Of a memory operand: its base register, the distance that this has afterwards, and that of the memory."""
    operand = instruction.operands[place]
    base = register(arch, instruction.reg_name(operand.mem.base)) if operand.mem.base else ""
    held = state.registers[base].distance if base in state.registers else None
    if held is None or operand.mem.index:
        return base, None, None
    later = instruction.operands[place + 1 :]
    if instruction.writeback and later:  # post-indexed
        return base, held + later[0].imm, held
    return base, held + operand.mem.disp, held + operand.mem.disp
