"""Which of its caller's registers a function changes, by abstract interpretation: the proof of an op's clobbers.

Follows every path from the entry to each return, tracking each register and each word of the stack: it holds a
register's value from the entry, an address at a distance from the entry's stack pointer, or something written. So a
function that saves and restores a register does not change it. Knows no op and no backend.

Assumption: a function writes to the stack above its frame only through its own stack pointer.
"""

from collections.abc import Mapping
from dataclasses import replace

import capstone
import numpy as np

from buildplug.arch.decode import MEMORY, WRITE, instructions, register, transfers_control, writes
from buildplug.backends import by_order
from buildplug.backends.by_order import Branch
from buildplug.backends.moves import move
from buildplug.backends.state import State, Value
from buildplug.base.records import frozen
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_WRITE

LONGEST = 16  # bytes of an instruction
STEPS = 20_000  # instructions interpreted before a function counts as too long

REGISTER, IMMEDIATE = capstone.CS_OP_REG, capstone.CS_OP_IMM


@frozen
class Effect:
    """What a call may change: register (or "memory", except the stack) -> the instruction that does. `unsure`: why the
    code could not be followed to its end, or empty."""

    written: Mapping[str, str]
    unsure: str = ""


class Follower:
    """Follows functions of an image. `known`: the effects of functions that are not followed, by address."""

    def __init__(self, image: Image, known: Mapping[int, Effect]):
        self.image, self.arch = image, image.arch
        self.known, self.effects = known, dict(known)
        self.decoded = dict[int, capstone.CsInsn | None]()  # paths meet, and functions share code
        self.section, self.code = range(0), np.zeros(0, "u1")  # the last one: its addresses, and its bytes
        self.word = image.arch.word
        names = self.arch.registers - {"memory"} - self.arch.pc
        self.before = {name: Value(initial=name) for name in names} | {self.arch.stack: Value(distance=0)}

    def _called(self, address: int) -> Effect:
        """The effect of a call of the function at `address`."""
        if address not in self.effects:
            self.effects[address] = Effect({}, "it calls itself")  # for a recursive call
            self.effects[address] = self.follow(address)
        return self.effects[address]

    def _decode(self, address: int) -> capstone.CsInsn | None:
        if address not in self.decoded:
            self.decoded[address] = self._decoded(address)
        return self.decoded[address]

    def _decoded(self, address: int) -> capstone.CsInsn | None:
        if address not in self.section:
            section = self.image.section_at(address)
            if section is None or not section.executable:
                return None
            self.section = range(section.address, section.address + section.size)
            self.code = self.image.bytes_of(section)
        at = address - self.section.start
        return next(instructions(self.arch, self.code[at : at + LONGEST].tobytes(), address), None)

    def follow(self, entry: int) -> Effect:
        """The effect of the function at `entry`."""
        stack, before = self.arch.stack, self.before
        states = {entry: State(dict(before))}
        written: dict[str, str] = {}
        todo, steps = [entry], 0
        while todo:
            address = todo.pop()
            steps += 1
            instruction = self._decode(address)
            if instruction is None or steps > STEPS:
                return Effect(written, f"no instruction at {address:#x}" if steps <= STEPS else "it is too long")
            text = f"{instruction.mnemonic} {instruction.op_str}".strip()
            state = states[address].copy()
            known = self.known.get(address) if address != entry else None
            if known:
                self._apply(known, "what it jumps to", state, written)
            if known or instruction.group(capstone.CS_GRP_RET) or text in self.arch.mnemonics.returns:
                if self.arch.link and state.registers[self.arch.link] != before[self.arch.link]:
                    return Effect(written, f"'{text}' at {address:#x} with another return address")
                if state.registers[stack] != before[stack]:
                    return Effect(written, f"'{text}' at {address:#x} with an unbalanced stack")
                for name, value in state.registers.items():
                    if value is not before[name] and value != before[name]:
                        written.setdefault(name, value.writer or "a branch")
                continue
            if instruction.mnemonic in self.arch.mnemonics.stop:
                continue
            after, unsure = self._step(instruction, text, state, written)
            if unsure:
                return Effect(written, unsure)
            for target in after:
                if target not in states:
                    states[target] = state.copy()
                elif not states[target].merge(state):
                    continue
                todo.append(target)
        return Effect(written)

    def _step(
        self, instruction: capstone.CsInsn, text: str, state: State, written: dict[str, str]
    ) -> tuple[list[int], str]:
        """Applies an instruction to a state; returns the addresses where execution continues, and why they are not
        known, or an empty text."""
        following = (instruction.address + instruction.size) % self.arch.modulus
        by_names = bool(self.arch.mnemonics.links)
        branch = by_order.branch(self.arch, instruction, state) if by_names else self._branch(instruction)
        if branch:
            target = branch.target
            if branch.unsure:
                return [], f"'{text}': {branch.unsure}"
            if target is None and not branch.call:
                return [], f"'{text}' has an unknown target"
            if target is not None and not branch.call:
                return [target] + ([following] if branch.falls else []), ""
            effect = self._called(target) if target is not None else Effect(dict.fromkeys(self.arch.caller_saved, text))
            for name in self.arch.called:
                state.registers[name] = Value(writer=text)
            self._apply(effect, text, state, written)
            return [following], f"{text}: {effect.unsure}" if effect.unsure else ""
        if transfers_control(self.arch, instruction):
            return [], f"'{text}' has an unknown target"
        if by_names:
            by_order.move(self.arch, instruction, text, state, written)
        else:
            self._move(instruction, text, state, written)
        return [following], ""

    def _apply(self, effect: Effect, text: str, state: State, written: dict[str, str]) -> None:
        """Applies what a call, or a jump, changes to a state."""
        for name in effect.written:
            if name == "memory":
                written.setdefault(name, text)
            else:
                state.registers[name] = Value(writer=text)

    def _branch(self, instruction: capstone.CsInsn) -> Branch | None:
        """Where an instruction leads; None if it only continues at the next."""
        groups = instruction.groups  # made anew each time
        calls, jumps = capstone.CS_GRP_CALL in groups, capstone.CS_GRP_JUMP in groups
        if not calls and not jumps:
            return None
        operand = instruction.operands[-1]
        target = operand.imm % self.arch.modulus if operand.type == IMMEDIATE else self._constant(operand)
        # aarch64's calls are of both groups
        return Branch(target, call=calls, falls=not calls and instruction.mnemonic not in self.arch.mnemonics.jump)

    def _constant(self, operand: capstone.x86.X86Op) -> int | None:
        """The address of code that a word of read-only data at a fixed address holds; None for other operands."""
        if operand.type != MEMORY or operand.mem.base or operand.mem.index or operand.mem.segment:
            return None
        at = operand.mem.disp % self.arch.modulus
        section = self.image.section_at(at)
        if section is None or section.flags & SHF_WRITE:
            return None
        value = int(self.image.words(section.index, np.array([at - section.address]), self.word)[0])
        home = self.image.section_at(value)
        return value if home is not None and home.executable else None

    def _move(self, instruction: capstone.CsInsn, text: str, state: State, written: dict[str, str]) -> None:
        """Applies an instruction that continues at the next one to a state."""
        registers, stack, operands = state.registers, state.stack, instruction.operands
        top, name = registers[self.arch.stack].distance, instruction.mnemonic
        if self.arch.instruction:
            move(self.arch, instruction, text, state, written)
            return
        full = [o.type == REGISTER and o.size == self.word for o in operands]
        names = [register(self.arch, instruction.reg_name(o.reg)) if o.type == REGISTER else "" for o in operands]
        if name in self.arch.mnemonics.push:
            pushed = (registers[names[0]] if full[0] else None) if operands else registers["flags"]
            if top is not None:
                stack[top - self.word] = pushed or Value(writer=text)
                registers[self.arch.stack] = Value(distance=top - self.word)
            return
        if name in self.arch.mnemonics.pop:
            value = stack.get(top, Value(writer=text)) if top is not None else Value(writer=text)
            if top is not None:
                registers[self.arch.stack] = Value(distance=top + self.word)
            registers[names[0] if operands else "flags"] = value if not operands or full[0] else Value(writer=text)
            return
        if name == self.arch.mnemonics.leave:
            frame = registers[self.arch.frame].distance
            unknown = Value(writer=text)
            registers[self.arch.stack] = Value(distance=frame + self.word) if frame is not None else unknown
            registers[self.arch.frame] = stack.get(frame, unknown) if frame is not None else unknown
            return
        distances = [self._distance(instruction, o, state) if o.type == MEMORY else None for o in operands]
        value = Value(writer=text)
        if name in self.arch.mnemonics.copy and len(operands) == 2 and all(o.size == self.word for o in operands):
            if full[1]:
                value = registers.get(names[1], value)
            elif distances[1] is not None:
                value = stack.get(distances[1], value)
        elif name in self.arch.mnemonics.add and full[0] and operands[1].type == IMMEDIATE:
            base, sign = registers.get(names[0], value).distance, self.arch.mnemonics.add[name]
            value = Value(distance=base + sign * operands[1].imm) if base is not None else value
        elif name in self.arch.mnemonics.address and self._is_nop(instruction, names[0]):
            return
        elif name in self.arch.mnemonics.address:
            distance = self._distance(instruction, operands[1], state)
            value = Value(distance=distance) if distance is not None and full[0] else value
        for changed in writes(self.arch, instruction) - self.arch.pc:
            if changed in registers:
                registers[changed] = (
                    replace(value, writer=text) if names[:1] == [changed] and full[0] else Value(writer=text)
                )
        if "memory" in self.arch.mnemonics.writes.get(name, ()):
            written.setdefault("memory", text)
        for operand, distance in zip(operands, distances, strict=True):
            if operand.type != MEMORY or not operand.access & WRITE or name in self.arch.mnemonics.address:
                continue
            if distance is None:
                written.setdefault("memory", text)
                continue
            for at in [at for at in stack if distance - self.word < at < distance + operand.size]:
                stack[at] = Value(writer=text)
            if operand.size == self.word:
                stack[distance] = value

    def _is_nop(self, instruction: capstone.CsInsn, name: str) -> bool:
        """Whether an address that is stored in `name` is that register's own value: padding of compilers."""
        address, zero = instruction.operands[1].mem, ("eiz", "riz")
        index = instruction.reg_name(address.index) if address.index else zero[0]
        return not address.disp and index in zero and bool(address.base) and instruction.reg_name(address.base) == name

    def _distance(self, instruction: capstone.CsInsn, operand: capstone.x86.X86Op, state: State) -> int | None:
        """The distance of a memory operand on the stack; None for others."""
        if operand.mem.index or operand.mem.segment or not operand.mem.base:
            return None
        value = state.registers.get(register(self.arch, instruction.reg_name(operand.mem.base)))
        return value.distance + operand.mem.disp if value is not None and value.distance is not None else None
