"""Fields: the bits of an instruction, or of data, that encode an address; and the only codec for them.

A field is in a *word* of 2, 4 or 8 bytes, in the machine's byte order. Its *pc* is the address that it is relative to:
a relocation's is that of the word, an x86 instruction's is its own end, which its form records.

The methods take Python integers and numpy arrays of uint64 alike. Addresses are modulo 2**64; a 32-bit architecture
keeps the low half of a result, and passes its number of bits where that matters.
"""

from enum import Enum
from functools import cached_property
from typing import Any

from buildplug.base.records import frozen

ALL = (1 << 64) - 1
PAGE = 1 << 12

Value = Any  # int, or an array of uint64


class Base(Enum):
    """What a field's address is relative to."""

    ABSOLUTE = "absolute"
    PC = "pc"
    PAGE = "page of the pc"


@frozen
class Slice:
    """Bits [low, low + width) of a value, stored in bits [at, at + width) of the word."""

    low: int
    width: int
    at: int

    @property
    def mask(self) -> int:
        return (1 << self.width) - 1


@frozen
class Part:
    """A summand of a field's value. `bias` is added to the value before it is sliced: it rounds up the high part of a
    pair whose low part is signed and negative."""

    slices: tuple[Slice, ...]
    signed: bool = False
    bias: int = 0

    @property
    def sign(self) -> int:
        """The sign bit of the part's value."""
        return 1 << max(s.low + s.width for s in self.slices) - 1

    def decode(self, word: Value) -> Value:
        value, *rest = (((word >> s.at if s.at else word) & s.mask) << s.low for s in self.slices)
        for bits in rest:
            value = value | bits
        if self.signed:
            value = ((value ^ self.sign) - self.sign) & ALL
        return value

    def encode(self, value: Value) -> Value:
        biased, word = (value + self.bias) & ALL, 0
        for s in self.slices:
            word = word | ((biased >> s.low) & s.mask) << s.at
        return word


@frozen
class Field:
    """How the bits of a word encode an address. A field for the high part counts in units of `step`, above 1; a field
    for the low part encodes the address modulo `modulus`."""

    name: str
    size: int  # of the word, bytes
    parts: tuple[Part, ...]
    base: Base = Base.ABSOLUTE
    step: int = 1
    modulus: int = 1 << 64

    @property
    def relative(self) -> bool:
        """Whether the field must change if it moves and its target does not."""
        return self.base is not Base.ABSOLUTE

    @property
    def signed(self) -> bool:
        return any(part.signed for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether the field is the whole word, its bits in order: a plain number."""
        return self.parts[0].slices == (Slice(0, 8 * self.size, 0),)

    @property
    def partial(self) -> bool:
        """Whether the field holds only a part of an address."""
        return self.step > 1 or self.modulus <= ALL

    @cached_property
    def mask(self) -> int:
        """The field's bits in the word."""
        return sum(s.mask << s.at for part in self.parts for s in part.slices)

    def seen(self, bits: int) -> int:
        """The bits of an address of `bits` bits that the field holds."""
        return (1 << bits) - self.step & self.modulus - 1

    def _base(self, pc: Value) -> Value:
        if self.base is Base.ABSOLUTE:
            return 0
        return pc if self.base is Base.PC else pc & (ALL - PAGE + 1)

    def value(self, word: Value) -> Value:
        """The number in a word: the address minus the field's base."""
        value = self.parts[0].decode(word)
        for part in self.parts[1:]:
            value = (value + part.decode(word)) & ALL
        return value

    def get(self, word: Value, pc: Value) -> Value:
        """The address in a word, or the part of it that the field encodes."""
        return (self.value(word) + self._base(pc)) & ALL

    def put(self, word: Value, pc: Value, address: Value, bits: int = 64) -> tuple[Value, Value]:
        """The word with an address of `bits` bits in its field, and whether the field can hold it."""
        value = (address - self._base(pc)) & ALL
        made = word & (ALL - self.mask)
        for part in self.parts:
            made = made | part.encode(value)
        bias = max(part.bias for part in self.parts) if self.step > 1 else 0
        return made, (self.value(made) ^ (value + bias)) & self.seen(bits) == 0

    def holds(self, word: Value, pc: Value, address: Value, bits: int = 64) -> Value:
        """Whether a word already holds an address."""
        made, fits = self.put(word, pc, address, bits)
        return fits & (made == word)


def whole(name: str, size: int, base: Base = Base.ABSOLUTE, *, signed: bool = False) -> Field:
    """A field of whole bytes."""
    return Field(name, size, (Part((Slice(0, 8 * size, 0),), signed),), base)


REL32 = whole("rel32", 4, Base.PC, signed=True)
ABS32 = whole("abs32", 4)
ABS32S = whole("abs32s", 4, signed=True)
ABS64 = whole("abs64", 8)
REL64 = whole("rel64", 8, Base.PC)
NOTHING = Field("nothing", 4, (Part((Slice(0, 0, 0),)),), modulus=1)  # of an instruction that needs no address
# A field's number is its index here; the first four are part of the format of relocation tables.
FIELDS = (REL32, ABS32, ABS32S, ABS64, REL64)
FIELD_NAMES = tuple(field.name for field in FIELDS)
