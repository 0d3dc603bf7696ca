"""Forms: how code or data refers to an address; and kinds: what a fixup may do to a site."""

from functools import cached_property

from buildplug.arch.field import Field
from buildplug.base.records import frozen


@frozen
class Kind:
    """What a site does with the address that it refers to."""

    name: str
    slot: bool = False  # refers to the slot with the function's address, not to the function
    inline: bool = False  # inline code may replace it; otherwise only its target can change
    returns: bool = False  # execution does not continue after the site: inline code needs a return
    data: bool = False  # a word of data, not an instruction


CALL = Kind("call", inline=True)
JUMP = Kind("jump", inline=True, returns=True)
COND_JUMP = Kind("cond-jump")
SLOT_CALL = Kind("slot-call", slot=True, inline=True)
SLOT_JUMP = Kind("slot-jump", slot=True, inline=True, returns=True)
ADDRESS = Kind("address")
POINTER = Kind("pointer", data=True)
KINDS = (CALL, JUMP, COND_JUMP, SLOT_CALL, SLOT_JUMP, ADDRESS, POINTER)  # tables store a kind as its index here
KIND_NAMES = tuple(kind.name for kind in KINDS)

# Kinds of references that no fixup can redirect: an error, unless the rule ignores the kind by name.
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


@frozen
class Form:
    """How to recognise a site, and where its field is. `code` and `mask` cover the whole site; bits outside of the mask
    are the field's, or vary by site (registers, a condition)."""

    name: str
    kind: Kind
    field: Field
    at: int  # offset of the field's word in the site, bytes
    pc: int  # offset of the field's pc in the site, bytes
    code: bytes
    mask: bytes
    padding: int = 0  # bytes of the nops at the site's end: room for longer inline code, made by a shipped macro
    first: Field | None = None  # the field of the first of several relocations, which together have the form's field
    direct: str = ""  # name of the form of the direct call or jump that replaces it; "": the architecture's
    ret: bytes = b""  # the return behind inline code in it; empty: the architecture's
    unchanged: str = ""  # why no fixup may change such a site

    @property
    def length(self) -> int:
        """The length of the site, bytes."""
        return len(self.code)

    equal: tuple[int, int, int] | None = None  # two places of bits, and their number, that hold the same register

    @property
    def relocated(self) -> tuple[Field, ...]:
        """The fields of the relocations by which the site is found."""
        return (self.field,) if self.first is None else (self.field, self.first)

    @property
    def opcode(self) -> bytes:
        """The bytes before the field's word."""
        return self.code[: self.at]

    @property
    def tail(self) -> bytes:
        """The padding's bytes."""
        return self.code[self.length - self.padding :]

    @cached_property
    def fixed(self) -> tuple[tuple[int, int, int], ...]:
        """The bytes that identify the form: offset in the site, value, mask."""
        return tuple((i, c, m) for i, (c, m) in enumerate(zip(self.code, self.mask, strict=True)) if m)

    @cached_property
    def own(self) -> int:
        """The bits outside of the field that vary by site; the first byte is the lowest."""
        free = int.from_bytes(bytes(byte ^ 0xFF for byte in self.mask), "little")
        return free & ~(self.field.mask << 8 * self.at)
