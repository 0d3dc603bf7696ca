"""What differs from one architecture to the next, as data: relocations, forms of sites, instructions, registers.

A pass takes what it needs from an `Arch` record; none asks which architecture it is.
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
    """The instructions that following code must understand, by capstone's names of them."""

    push: frozenset[str]  # put a word on the stack
    pop: frozenset[str]
    copy: frozenset[str]  # the first operand becomes the second
    add: dict[str, int]  # add the second operand, times 1 or -1, to the first
    address: frozenset[str]  # the first operand becomes the address of the second, which is not read
    compare: frozenset[str]  # read their operands, and write only flags
    leave: str  # undoes a frame
    jump: frozenset[str]  # jumps that are always taken
    stop: frozenset[str]  # nothing follows them


@dataclass(frozen=True)
class Assembly:
    """The assembler's text for generated code; `{}` is a register."""

    ret: str
    call: str
    save: tuple[str, str]  # pushes a register, and pops it
    save_flags: tuple[str, str]


@dataclass(frozen=True)
class Arch:
    """An architecture: the facts that the passes need."""

    name: str
    machine: int  # e_machine (gABI, chapter 4)
    bits: int
    byteorder: str  # numpy's: "<" or ">"
    relocations: dict[int, Field]  # r_type -> the field
    relaxed: frozenset[int]  # r_type whose instruction the linker may have rewritten, so that anything may be there
    thread: frozenset[int]  # r_type of fields of 4 bytes that lead to a thread's variables by way of the GOT
    relative: int  # r_type by which the loader puts an address of the image in place
    ignored: frozenset[int]  # r_type that refers to no address of the image (TLS offsets, sizes, none)
    forms: tuple[Form, ...]  # those with more code bytes before those with fewer; the index is stored in tables
    trailing: tuple[int, ...]  # bytes that an instruction may have behind a pc-relative field, and the field's width
    prefixes: frozenset[int]  # bytes that may belong to the instruction if they stand before a site
    nops: tuple[bytes, ...]  # nops[n]: the instruction of n bytes that does nothing; nops[0] is empty
    call: str  # the name of the form of a direct call
    jump: str  # of a direct jump
    ret: bytes  # a return
    capstone: tuple[int, int]  # CS_ARCH_*, CS_MODE_*
    general: tuple[str, ...]  # registers that values are kept in: neither the stack's nor the frame's address
    caller_saved: frozenset[str]  # what a function may write by the C calling convention, "flags" and "memory" too
    stack: str  # the stack pointer
    frame: str  # the register that compilers keep the frame's address in
    pc: frozenset[str]  # names of the program counter
    control: tuple[str, ...]  # how names of registers begin that no calling convention speaks of
    mnemonics: Mnemonics
    assembly: Assembly
    line: int  # bytes of a cache line

    def full(self, names: Iterable[str]) -> frozenset[str]:
        """The full registers that `names` are, or are parts of."""
        return frozenset(self.aliases.get(name, name) for name in names)

    @property
    def registers(self) -> frozenset[str]:
        """The full names that clobbers may have."""
        return frozenset(self.aliases.values()) | {"memory"}

    aliases: dict[str, str]  # a register's other names -> its full name

    @property
    def order(self) -> Literal["little", "big"]:
        """The byte order as Python's integers name it."""
        return "little" if self.byteorder == "<" else "big"

    @property
    def word(self) -> int:
        """Bytes of an address."""
        return self.bits // 8

    @property
    def base_type(self) -> str:
        """The numpy type of a distance between two addresses, which tables have for their sections."""
        return f"{self.byteorder}i{self.word}"

    def signed(self, distance: int) -> int:
        """A distance between two addresses as the word that holds it."""
        return (distance + self.modulus // 2) % self.modulus - self.modulus // 2

    @cached_property
    def pointer(self) -> int:
        """The form of a word of data that holds an address, an index into forms."""
        return next(i for i, f in enumerate(self.forms) if f.kind.data and f.length == self.word)

    @cached_property
    def direct(self) -> dict[bool, Form]:
        """What takes the place of a site that code does not fit into: a call, or where `returns` is true a jump."""
        named = {form.name: form for form in self.forms}
        return {False: named[self.call], True: named[self.jump]}

    @cached_property
    def forms_digest(self) -> int:
        """Tells tables with other forms apart: 32 bits."""
        said = [(f.kind.name, f.field.name, f.at, f.pc, f.code.hex(), f.mask.hex()) for f in self.forms]
        return zlib.crc32(repr(said).encode())

    @property
    def modulus(self) -> int:
        """Addresses are numbers modulo this."""
        return 1 << self.bits
