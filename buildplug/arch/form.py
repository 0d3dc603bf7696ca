"""Forms: the ways in which code or data refers to an address; and kinds: what a fixup may make of a site."""

from dataclasses import dataclass
from functools import cached_property

from buildplug.arch.field import Field


@dataclass(frozen=True)
class Kind:
    """What a site does with the address that it refers to."""

    name: str
    slot: bool = False  # it names the slot that holds the function's address, not the function
    inline: bool = False  # other code may take its place; else it is only made to refer to another function
    returns: bool = False  # control does not come back to what follows the site: inline code needs a return
    data: bool = False  # it is a word of data, not an instruction


CALL = Kind("call", inline=True)
JUMP = Kind("jump", inline=True, returns=True)
COND_JUMP = Kind("cond-jump")
SLOT_CALL = Kind("slot-call", slot=True, inline=True)
SLOT_JUMP = Kind("slot-jump", slot=True, inline=True, returns=True)
ADDRESS = Kind("address")
POINTER = Kind("pointer", data=True)
KINDS = (CALL, JUMP, COND_JUMP, SLOT_CALL, SLOT_JUMP, ADDRESS, POINTER)  # in tables of fields, a kind is its place here
KIND_NAMES = tuple(kind.name for kind in KINDS)

# Kinds of a reference that no fixup can redirect: a rule ignores them by name, or they are errors.
IGNORED_KINDS = {
    "interior": "the inside of a function, not its start",
    "got": "through the global offset table",
    "relative-pointer": "a difference in data",
    "slot-load": "reads a slot",
    "slot-store": "writes a slot",
    "slot-compare": "compares a slot",
    "slot-address": "takes the address of a slot",
    "indexed": "a slot chosen by a register",
    "other": "an instruction of no known form",
}


@dataclass(frozen=True)
class Form:
    """How to recognise a site, and where its field is. `code` and `mask` have the length of the whole site; bits that
    are not in the mask are the field's, or the site's own (registers, a condition)."""

    name: str
    kind: Kind
    field: Field
    at: int  # of the field's word in the site, bytes
    pc: int  # where in the site the field's pc counts from, bytes
    code: bytes
    mask: bytes
    padding: int = 0  # bytes at the site's end that are a nop, which a macro of ours put there for longer inline code

    @property
    def length(self) -> int:
        """Of the site, bytes."""
        return len(self.code)

    @property
    def opcode(self) -> bytes:
        """What stands before the field's word."""
        return self.code[: self.at]

    @property
    def tail(self) -> bytes:
        """The nop at the site's end."""
        return self.code[self.length - self.padding :]

    @cached_property
    def fixed(self) -> tuple[tuple[int, int, int], ...]:
        """The bytes by which the form is recognised: offset in the site, value, mask."""
        return tuple((i, c, m) for i, (c, m) in enumerate(zip(self.code, self.mask, strict=True)) if m)

    @cached_property
    def own(self) -> int:
        """The bits that differ from site to site but are not the field's; the first byte is the lowest."""
        free = int.from_bytes(bytes(byte ^ 0xFF for byte in self.mask), "little")
        return free & ~(self.field.mask << 8 * self.at)
