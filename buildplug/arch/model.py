"""The differences between architectures as data: relocations, forms of sites, instructions, registers.

Passes read an `Arch` record; none asks which architecture it is.
"""

import zlib
from collections.abc import Iterable
from dataclasses import field
from functools import cached_property
from typing import Literal

from buildplug.arch.field import FIELDS, Field
from buildplug.arch.form import Form
from buildplug.base.records import frozen


@frozen
class Mnemonics:
    """The instructions that the analysis of functions interprets, by capstone's names."""

    push: frozenset[str] = frozenset()  # push a word
    pop: frozenset[str] = frozenset()
    copy: frozenset[str] = frozenset()  # copy the second operand to the first
    add: dict[str, int] = field(default_factory=dict)  # add the second operand, times 1 or -1, to the first
    address: frozenset[str] = frozenset()  # store the address of the second operand, which is not read, in the first
    compare: frozenset[str] = frozenset()  # read their operands, and write only flags
    load: frozenset[str] = frozenset()  # load whole registers from consecutive words
    store: frozenset[str] = frozenset()
    literal: frozenset[str] = frozenset()  # with a constant operand and none in memory, that is relative to the pc
    writes_memory: frozenset[str] = frozenset()  # store to memory, though the decoder does not say so
    # Where the decoder does not say how operands are used, an instruction writes its first one, but not these.
    reads: frozenset[str] = frozenset()
    page: frozenset[str] = frozenset()  # add a constant, in units of 4 KiB, to the pc
    links: dict[str, str] = field(default_factory=dict)  # calls and jumps -> the register that they link by unless told
    indirect: frozenset[str] = frozenset()  # of those, the ones to the address in their last register
    returns: frozenset[str] = frozenset()  # returns that the decoder takes for other jumps, with their operands
    away: frozenset[str] = frozenset()  # continue elsewhere, though the decoder does not say so
    # what one writes where the decoder is wrong, by name, or by name and first operand: registers, "memory"
    writes: dict[str, frozenset[str]] = field(default_factory=dict)
    # copy the flags to a register and back, and the name that they have there
    flags: tuple[str, str, str] = ("", "", "")
    leave: str = ""  # restores the stack and frame pointers
    jump: frozenset[str] = frozenset()  # unconditional jumps
    stop: frozenset[str] = frozenset()  # execution ends here


@frozen
class Assembly:
    """Assembly text for generated code; `{}` is a register."""

    ret: str = ""
    call: str = ""
    save: tuple[str, str] = ("", "")  # push and pop a register
    save_flags: tuple[str, str] = ("", "")
    slot_call: tuple[str, ...] = ()  # where compilers' calls through a slot are no sites: one that is; `{}` is the slot
    jump: str = ""  # to a function anywhere; "": Arch.jump
    room: str = ""  # the nop of padding, where `.inst` does not emit it
    pause: str = ""  # in a loop that waits for another processor
    publish: str = ""  # between a write to memory and a request of an interrupt whose handler must see it
    # adds 1 to the word %2, with release; %0 and %1 are registers to use. Where compilers may call a function for it
    increment: str = ""
    kept: tuple[str, str] = ("", "")  # around code whose instructions neither assembler nor linker may change


@frozen
class Arch:
    """An architecture: what the passes need to know of it. The first four fields are enough for tables of symbols; an
    architecture without `forms` has no others."""

    name: str
    machine: int  # e_machine (gABI, chapter 4)
    bits: int
    byteorder: str  # numpy's: "<" or ">"
    marks: tuple[str, ...] = ()  # names of local untyped symbols that mark code, not places; "\0" ends a name
    thumb: bool = False  # bit 0 of a function's st_value says its instruction set, and is not part of its address
    kallsyms: str = ""  # what offsets of Linux's kallsyms hold, see tables/kallsyms_format.py; empty: unknown
    relative: int = -1  # r_type of a field that the loader fills with an address of the image; -1: unknown
    target: str = ""  # GNU's name of it, which begins the names of cross compilers; clang takes it as --target
    hosts: tuple[str, ...] = ()  # machines, as uname -m says, whose own compiler compiles for it with the next flags
    compiler: tuple[str, ...] = ()  # flags that make a compiler for several architectures compile for this one
    relocations: dict[int, Field] = field(default_factory=dict)  # r_type -> the field
    relaxed: frozenset[int] = frozenset()  # r_type whose instruction the linker may have rewritten: of any form
    thread: frozenset[int] = frozenset()  # r_type of 4-byte fields of thread-local variables through the GOT
    ignored: frozenset[int] = frozenset()  # r_type that refers to no address of the image (TLS offsets, sizes, none)
    forms: tuple[Form, ...] = ()  # more code bytes first; tables store the index
    instruction: int = (
        0  # bytes that instructions are aligned to, if their words alone say what they are; 0: they do not
    )
    unproved: frozenset[int] = frozenset()  # r_type whose field holds symbol + addend only together with another's
    global_pointer: tuple[frozenset[int], str] | None = None  # r_type whose addend is from the symbol of that name
    reach: str = ""  # what helps where a site does not reach a function
    mended: str = ""  # what helps where linkers keep relocations that are not true
    unloaded: str = ""  # what helps where linkers keep no relocations of sections that are not loaded
    paired: bool = False  # whether such pairs are usual: fields are not compared
    made: dict[int, tuple[Form, ...]] = field(
        default_factory=dict
    )  # r_type -> what linkers may make of its instruction
    written: int = 0  # the bits of an instruction that say which register it writes
    copied: tuple[int, int] = (0, 0)  # word and mask of the instructions that linkers move away, for made jumps
    veneers: tuple[Form, ...] = ()  # code that linkers add between a direct call or jump and a target out of its reach
    uses: tuple[tuple[int, int, str], ...] = ()  # value, mask: an instruction with a slot's address; its ignored kind
    trailing: tuple[int, ...] = ()  # distances from a pc-relative field's start to its instruction's end, bytes
    prefixes: frozenset[int] = frozenset()  # bytes before a site that may be a prefix of its instruction
    nops: tuple[bytes, ...] = ()  # nops[n]: the nop of n bytes; nops[0] is empty
    call: str = ""  # name of the form of a direct call
    jump: str = ""  # name of the form of a direct jump
    ret: bytes = b""  # a return
    code_cache: str = ""  # how changed code gets visible to the instruction fetch: "lines" of addresses, or a "fence"
    others: str = ""  # what each other processor needs before it executes changed code
    capstone: tuple[int, int] = (0, 0)  # CS_ARCH_*, CS_MODE_*
    lengths: bool = False  # whether native/instructions.c knows where its instructions end
    general: tuple[str, ...] = ()  # general-purpose registers, without the stack pointer and the frame pointer
    reserved: str = ""  # the one of those that LLVM keeps for itself: inline assembly in Rust takes no operand in it
    caller_saved: frozenset[str] = frozenset()  # what a function may write by the C calling convention, "flags" too
    called: frozenset[str] = frozenset()  # what a direct call itself may write, by way of veneers too
    link: str = ""  # of those, the register with the return address
    narrow: str = ""  # begins the names of parts of registers, where the decoder does not say an operand's size
    stack: str = ""  # the stack pointer
    frame: str = ""  # the frame pointer
    zero: str = ""  # a register that is always 0
    # words from where it points to the caller's frame pointer, and to the return address; None: no known frames
    frame_record: tuple[int, int] | None = None
    pc: frozenset[str] = frozenset()  # names of the program counter
    control: tuple[str, ...] = ()  # prefixes of the names of registers that no calling convention covers
    mnemonics: Mnemonics = Mnemonics()
    assembly: Assembly = Assembly()
    line: int = 64  # bytes of a cache line
    aliases: dict[str, str] = field(default_factory=dict)  # a register's other names -> its full name

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields of relocations and forms; a field's number is its index. FIELDS come first."""
        return tuple(dict.fromkeys((*FIELDS, *self.relocations.values(), *(form.field for form in self.forms))))

    @property
    def rows(self) -> tuple[str, ...]:
        """The kinds of rows that rules can select for this architecture."""
        if not self.forms:
            return ("symbols",)
        return ("symbols", "references", "records", "relocations")

    @property
    def compared(self) -> bool:
        """Whether the proof compares the fields of relocations in two links."""
        return bool(self.forms) and not self.paired

    def full(self, names: Iterable[str]) -> frozenset[str]:
        """The full names of registers, given by their own names or those of their parts."""
        return frozenset(self.aliases.get(name, name) for name in names)

    @property
    def registers(self) -> frozenset[str]:
        """The full names that are valid as clobbers."""
        return frozenset(self.aliases.values()) | {"memory"}

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
    def replacements(self) -> tuple[Form, ...]:
        """What replaces a site of each form that inline code does not fit."""
        named = {form.name: form for form in self.forms}
        return tuple(named.get(form.direct, self.direct[form.kind.returns]) for form in self.forms)

    def ret_of(self, form: Form) -> bytes:
        """The return behind inline code in a site of this form; empty if execution continues after the site."""
        return (form.ret or self.ret) if form.kind.returns else b""

    @cached_property
    def forms_digest(self) -> int:
        """A digest of the forms, 32 bits: a table made for other forms is rejected."""
        facts = [(f.kind.name, f.field.name, f.at, f.pc, f.code.hex(), f.mask.hex()) for f in self.forms]
        return zlib.crc32(repr(facts).encode())

    @property
    def modulus(self) -> int:
        """Addresses are modulo this."""
        return 1 << self.bits
