"""What is different from one architecture to the next, as data: relocations, site forms, instructions.

A pass takes what it needs from an `Arch` record; none asks which architecture it is.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from buildplug.schema import unknown

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


def _x86_registers(wide: str) -> dict[str, str]:
    """Every name of a part of a general register -> the register, which starts with `wide`: r of 64 bits, e of 32
    (Intel SDM vol. 1, 3.4.1)."""
    names: dict[str, str] = {}
    for letter in "abcd":
        names |= dict.fromkeys((f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h"), f"{wide}{letter}x")
    for word in ("si", "di", "bp", "sp"):
        names |= dict.fromkeys((f"e{word}", word, f"{word}l"), f"{wide}{word}")
    return names | {"eip": f"{wide}ip", "ip": f"{wide}ip", "eflags": "flags", "rflags": "flags"}


_X86_NOPS = (  # Intel SDM vol. 2B, NOP: recommended multi-byte sequences
    "", "90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000",
    "0f1f840000000000", "660f1f840000000000",
)  # fmt: skip


def _rooms(*lengths: int) -> tuple[Form, ...]:
    """Calls that a macro has put a nop behind, so that longer code can stand inline: sites of these lengths, bytes. No
    assembler makes a nop with such prefixes of its own accord."""
    tails = {length: b"\x3e" * (length - 7) + b"\x66\x90" for length in lengths}
    return tuple(Form(f"call in {n}", CALL, REL32, n, b"\xe8", b"\xff", tail) for n, tail in tails.items())


def _form(name: str, kind: int, encoding: int, length: int, code: str = "", mask: str = "") -> Form:
    opcode = bytes.fromhex(code)
    return Form(name, kind, encoding, length, opcode, bytes.fromhex(mask) if mask else b"\xff" * len(opcode))


X86_64 = Arch(
    name="x86_64",
    machine=62,
    bits=64,
    byteorder="<",
    # System V ABI, AMD64 supplement, 4.4.1
    relocations={1: ABS64, 2: REL32, 4: REL32, 9: REL32, 10: ABS32, 11: ABS32S, 24: REL64, 41: REL32, 42: REL32},
    relaxed=frozenset({9, 41, 42}),  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
    thread=frozenset({19, 20, 22, 34}),  # TLSGD, TLSLD, GOTTPOFF, GOTPC32_TLSDESC
    relative=8,
    ignored=frozenset({0, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36}),
    forms=(
        _form("call *abs32s", SLOT_CALL, ABS32S, 7, "ff1425"),
        _form("jmp *abs32s", SLOT_JUMP, ABS32S, 7, "ff2425"),
        _form("lea rip, r64", ADDRESS, REL32, 7, "488d05", "fbffc7"),
        _form("mov imm32s, r64", ADDRESS, ABS32S, 7, "48c7c0", "fefff8"),
        _form("cs jcc", COND_JUMP, REL32, 7, "2e0f80", "fffff0"),
        _form("call *rip", SLOT_CALL, REL32, 6, "ff15"),
        _form("jmp *rip", SLOT_JUMP, REL32, 6, "ff25"),
        _form("jcc", COND_JUMP, REL32, 6, "0f80", "fff0"),
        _form("addr32 call", CALL, REL32, 6, "67e8"),
        _form("cs call", CALL, REL32, 6, "2ee8"),
        _form("cs jmp", JUMP, REL32, 6, "2ee9"),
        _form("movabs imm64, r64", ADDRESS, ABS64, 10, "48b8", "fef8"),
        _form("mov imm32, r8d-r15d", ADDRESS, ABS32, 6, "41b8", "fff8"),
        *_rooms(8, 10, 12, 16),
        _form("call", CALL, REL32, 5, "e8"),
        _form("jmp", JUMP, REL32, 5, "e9"),
        _form("mov imm32, r32", ADDRESS, ABS32, 5, "b8", "f8"),
        _form("imm32s", ADDRESS, ABS32S, 4),
        _form("imm32", ADDRESS, ABS32, 4),
        _form("pointer", POINTER, ABS64, 8),
        _form("pointer32", POINTER, ABS32, 4),
    ),
    trailing=(4, 5, 6, 8),
    prefixes=frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, *range(0x40, 0x50)}),
    nops=tuple(bytes.fromhex(nop) for nop in _X86_NOPS),
    call=b"\xe8",
    jump=b"\xe9",
    ret=b"\xc3",
    ret_text="ret",
    capstone=(3, 1 << 3),  # CS_ARCH_X86, CS_MODE_64
    caller_saved=frozenset({"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "flags", "memory"}),
    stack="rsp",
    pc=frozenset({"rip", "eip"}),
    control=("cr", "dr"),
    push=frozenset({"push", "pushf", "pushfq", "pushfd"}),
    pop=frozenset({"pop", "popf", "popfq", "popfd"}),
    frame="rbp",
    leave="leave",
    goes=frozenset({"jmp"}),
    stop=frozenset({"ud2"}),
    save=("push %{}", "pop %{}"),
    save_flags=("pushf", "popf"),
    call_text="call",
    line=64,
    aliases=_x86_registers("r") | {f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "dwb"},
)

_I386_NOPS = (  # as X86_64's, in instructions that the first 386 has: %esi stays as it is
    "", "90", "89f6", "8d7600", "8d742600", "3e8d742600", "8db600000000", "8db42600000000",
)  # fmt: skip

I386 = replace(
    X86_64,
    name="i386",
    machine=3,
    bits=32,
    # System V ABI, Intel386 supplement, 4.4
    relocations={1: ABS32, 2: REL32, 3: ABS32, 4: REL32, 43: ABS32},
    relaxed=frozenset({3, 43}),  # GOT32, GOT32X
    thread=frozenset({15, 16, 18, 19, 39}),  # TLS_IE, TLS_GOTIE, TLS_GD, TLS_LDM, TLS_GOTDESC
    relative=8,
    ignored=frozenset({0, *range(14, 20), *range(24, 42)}),
    forms=(
        _form("call *abs32", SLOT_CALL, ABS32, 6, "ff15"),
        _form("jmp *abs32", SLOT_JUMP, ABS32, 6, "ff25"),
        _form("lea abs32, r32", ADDRESS, ABS32, 6, "8d05", "ffc7"),
        _form("jcc", COND_JUMP, REL32, 6, "0f80", "fff0"),
        _form("addr16 call", CALL, REL32, 6, "67e8"),
        *_rooms(8, 10, 12, 16),
        _form("call", CALL, REL32, 5, "e8"),
        _form("jmp", JUMP, REL32, 5, "e9"),
        _form("mov imm32, r32", ADDRESS, ABS32, 5, "b8", "f8"),
        _form("imm32", ADDRESS, ABS32, 4),
        _form("pointer", POINTER, ABS32, 4),
    ),
    trailing=(4,),
    prefixes=frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3}),
    nops=tuple(bytes.fromhex(nop) for nop in _I386_NOPS),
    capstone=(3, 1 << 2),  # CS_ARCH_X86, CS_MODE_32
    caller_saved=frozenset({"eax", "ecx", "edx", "flags", "memory"}),
    stack="esp",
    pc=frozenset({"eip"}),
    push=frozenset({"push", "pushf", "pushfd"}),
    pop=frozenset({"pop", "popf", "popfd"}),
    frame="ebp",
    aliases=_x86_registers("e"),
)

ARCHES = {arch.name: arch for arch in (X86_64, I386)}


def by_name(name: str, where: object) -> Arch:
    """The record of an architecture. Raises BuildplugError for an unknown name."""
    if name not in ARCHES:
        raise unknown(where, "architecture", name, ARCHES)
    return ARCHES[name]
