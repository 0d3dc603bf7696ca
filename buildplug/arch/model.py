"""What is different from one architecture to the next, as data: relocations, site forms, instructions.

A pass takes what it needs from an `Arch` record; none asks which architecture it is.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# Encodings of a relocated field: what the bytes of the field say about the address they refer to.
# The numbers are part of the generated C header.
REL32, ABS32, ABS32S, ABS64, REL64 = range(5)
ENCODINGS = ("rel32", "abs32", "abs32s", "abs64", "rel64")
WIDTH = (4, 4, 4, 8, 8)  # bytes of a field, by encoding
RELATIVE = (REL32, REL64)  # to the field

# Kinds of a site that the fixup can redirect; the number is part of the generated C header.
KINDS = ("call", "jump", "cond-jump", "slot-call", "slot-jump", "address", "pointer")
CALL, JUMP, COND_JUMP, SLOT_CALL, SLOT_JUMP, ADDRESS, POINTER = range(len(KINDS))

# Kinds of a reference that no fixup can redirect: a rule leaves them alone by name, or they are errors.
LEFT_KINDS = {
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
    """A way in which code or data refers to an address, and how to recognise it.

    The bytes `code` (under `mask`) stand directly before the relocated field, at the site's first byte. Behind the
    instruction stands `tail`: a nop that says that the site is longer.
    """

    name: str
    kind: int
    encoding: int  # of the field
    length: int  # of the site, bytes; the field may be followed by more of the instruction
    code: bytes = b""
    mask: bytes = b""
    tail: bytes = b""

    @property
    def end(self) -> int:
        """Offset in the site of the end of its instruction, bytes: the pc that the field is relative to."""
        return self.length - len(self.tail)

    @property
    def field(self) -> int:
        """Offset of the field in the site, bytes."""
        return len(self.code)

    @property
    def own(self) -> int:
        """The bits of the opcode that are a site's own; its first byte is the lowest of the number."""
        return int.from_bytes(bytes(~byte & 0xFF for byte in self.mask), "little")

    @property
    def of_slot(self) -> bool:
        """Whether the site names the slot that holds the function's address, not the function."""
        return self.kind in (SLOT_CALL, SLOT_JUMP)


@dataclass(frozen=True)
class Arch:
    """An architecture: the facts that the passes need."""

    name: str
    machine: int  # e_machine (gABI, chapter 4)
    bits: int
    byteorder: str  # numpy's: "<" or ">"
    relocations: dict[int, int]  # r_type -> encoding of the field
    relaxed: frozenset[int]  # r_type whose instruction the linker may have rewritten, so that anything may be there
    thread: frozenset[int]  # r_type of fields of 4 bytes that lead to a thread's variables by way of the GOT
    relative: int  # r_type by which the loader puts an address of the image in place
    ignored: frozenset[int]  # r_type that refers to no address of the image (TLS offsets, sizes, none)
    forms: tuple[Form, ...]  # those with more code bytes before those with fewer; the index is stored in tables
    trailing: tuple[int, ...]  # bytes that an instruction may have behind a pc-relative field, and the field's width
    prefixes: frozenset[int]  # bytes that may belong to the instruction if they stand before a site
    nops: tuple[bytes, ...]  # nops[n]: the instruction of n bytes that does nothing; nops[0] is empty
    call: bytes  # opcode of a direct call: a REL32 field follows
    jump: bytes  # opcode of a direct jump: a REL32 field follows
    ret: bytes  # a return
    ret_text: str  # the same for the assembler
    capstone: tuple[int, int]  # CS_ARCH_*, CS_MODE_*
    caller_saved: frozenset[str]  # what a function may write by the C calling convention, "flags" and "memory" too
    stack: str  # the stack pointer
    pc: frozenset[str]  # names of the program counter
    control: tuple[str, ...]  # how names of registers begin that no calling convention speaks of
    push: frozenset[str]  # instructions that put a word on the stack
    pop: frozenset[str]
    frame: str  # the register that compilers keep the frame's address in
    leave: str  # the instruction that undoes a frame
    goes: frozenset[str]  # jumps that are always taken
    stop: frozenset[str]  # instructions that nothing follows
    save: tuple[str, str]  # the assembler's text that pushes a register, and that which pops it
    save_flags: tuple[str, str]
    call_text: str
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

    @property
    def pointer(self) -> int:
        """The form of a word of data that holds an address, an index into forms."""
        return next(i for i, f in enumerate(self.forms) if f.kind == POINTER and f.length == self.word)

    @property
    def forms_digest(self) -> int:
        """Tells tables with other forms apart: 32 bits."""
        return zlib.crc32(repr(self.forms).encode())

    @property
    def modulus(self) -> int:
        """Addresses are numbers modulo this."""
        return 1 << self.bits
