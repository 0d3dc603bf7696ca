"""What is known of registers and of the stack at an instruction of a function."""

from dataclasses import dataclass, field
from typing import TypeVar


@dataclass(frozen=True)  # its own methods are the faster ones, and there are many of them
class Value:
    """What a register or a word of the stack holds: the value of the register `initial` at the entry; or an address,
    `distance` bytes from the entry's stack pointer; or the known address `address`; or else something unknown.
    `writer`: the instruction that wrote it."""

    initial: str = ""
    distance: int | None = None
    address: int | None = None
    writer: str = field(default="", compare=False)


Key = TypeVar("Key", str, int)


@dataclass
class State:
    """The registers, and the words of the stack by their distance, before an instruction."""

    registers: dict[str, Value]
    stack: dict[int, Value] = field(default_factory=dict)

    def copy(self) -> "State":
        return State(dict(self.registers), dict(self.stack))

    def merge(self, other: "State") -> bool:
        """Reduces this state to what is true of both; returns whether it changed."""
        return _merge(self.registers, other.registers) | _merge(self.stack, other.stack)


def _merge(mine: dict[Key, Value], theirs: dict[Key, Value]) -> bool:
    changed = False
    for key, value in mine.items():
        other = theirs.get(key, Value())
        if value != other:
            mine[key] = Value(writer=value.writer or other.writer)
            changed |= value != mine[key]
    return changed
