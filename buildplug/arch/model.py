"""The differences between architectures as data: relocations, forms of sites, instructions, registers.

Passes read an `Arch` record; none asks which architecture it is.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from buildplug.arch.field import Field
from buildplug.arch.form import Form


@dataclass(frozen=True)
class Mnemonics:
    """The instructions that the analysis of functions interprets, by capstone's names."""

    push: frozenset[str]  # push a word
    pop: frozenset[str]
    copy: frozenset[str]  # copy the second operand to the first
    add: dict[str, int]  # add the second operand, times 1 or -1, to the first
    address: frozenset[str]  # store the address of the second operand, which is not read, in the first
    compare: frozenset[str]  # read their operands, and write only flags
    leave: str  # restores the stack and frame pointers
    jump: frozenset[str]  # unconditional jumps
    stop: frozenset[str]  # execution ends here


@dataclass(frozen=True)
class Assembly:
    """Assembly text for generated code; `{}` is a register."""

    ret: str
    call: str
    save: tuple[str, str]  # push and pop a register
    save_flags: tuple[str, str]


@dataclass(frozen=True)
class Arch:
    """An architecture: what the passes need to know of it."""

    name: str
    compiler: tuple[str, ...]  # flags that make a compiler for several architectures compile for this one
    machine: int  # e_machine (gABI, chapter 4)
    bits: int
    byteorder: str  # numpy's: "<" or ">"
    relocations: dict[int, Field]  # r_type -> the field
    relaxed: frozenset[int]  # r_type whose instruction the linker may have rewritten: its bytes may be of any form
    thread: frozenset[int]  # r_type of 4-byte fields that refer to thread-local variables through the GOT
    relative: int  # r_type of a field that the loader fills with an address of the image
    ignored: frozenset[int]  # r_type that refers to no address of the image (TLS offsets, sizes, none)
    forms: tuple[Form, ...]  # more code bytes first; tables store the index
    trailing: tuple[int, ...]  # distances from a pc-relative field's start to its instruction's end, bytes
    prefixes: frozenset[int]  # bytes before a site that may be a prefix of its instruction
    nops: tuple[bytes, ...]  # nops[n]: the nop of n bytes; nops[0] is empty
    call: str  # name of the form of a direct call
    jump: str  # name of the form of a direct jump
    ret: bytes  # a return
    capstone: tuple[int, int]  # CS_ARCH_*, CS_MODE_*
    general: tuple[str, ...]  # general-purpose registers, without the stack pointer and the frame pointer
    caller_saved: frozenset[str]  # what a function may write by the C calling convention, "flags" and "memory" too
    stack: str  # the stack pointer
    frame: str  # the frame pointer
    frame_record: tuple[int, int]  # words from where it points to the caller's frame pointer, to the return address
    pc: frozenset[str]  # names of the program counter
    control: tuple[str, ...]  # prefixes of the names of registers that no calling convention covers
    mnemonics: Mnemonics
    assembly: Assembly
    line: int  # bytes of a cache line

    def full(self, names: Iterable[str]) -> frozenset[str]:
        """The full names of registers, given by their own names or those of their parts."""
        return frozenset(self.aliases.get(name, name) for name in names)

    @property
    def registers(self) -> frozenset[str]:
        """The full names that are valid as clobbers."""
        return frozenset(self.aliases.values()) | {"memory"}

    aliases: dict[str, str]  # a register's other names -> its full name

    @property
    def order(self) -> Literal["little", "big"]:
        """The byte order, as int.to_bytes() names it."""
        return "little" if self.byteorder == "<" else "big"

    @property
    def word(self) -> int:
        """Bytes of an address."""
        return self.bits // 8

    @property
    def base_type(self) -> str:
        """The numpy type of a distance between two addresses, as in the tables' section bases."""
        return f"{self.byteorder}i{self.word}"

    def signed(self, distance: int) -> int:
        """A distance between two addresses, wrapped to a signed word."""
        return (distance + self.modulus // 2) % self.modulus - self.modulus // 2

    @cached_property
    def pointer(self) -> int:
        """The form of a word of data that holds an address: its index in forms."""
        return next(i for i, f in enumerate(self.forms) if f.kind.data and f.length == self.word)

    @cached_property
    def direct(self) -> dict[bool, Form]:
        """What replaces a site that inline code does not fit: Kind.returns -> the form of a jump or a call."""
        named = {form.name: form for form in self.forms}
        return {False: named[self.call], True: named[self.jump]}

    @cached_property
    def forms_digest(self) -> int:
        """A digest of the forms, 32 bits: a table made for other forms is rejected."""
        facts = [(f.kind.name, f.field.name, f.at, f.pc, f.code.hex(), f.mask.hex()) for f in self.forms]
        return zlib.crc32(repr(facts).encode())

    @property
    def modulus(self) -> int:
        """Addresses are modulo this."""
        return 1 << self.bits
