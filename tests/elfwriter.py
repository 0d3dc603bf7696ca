"""ELF files from plain records, right or wrong: whatever a test wants to have read.

It shares no code with the reader. Source: System V gABI, chapters 4 and 5.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL, SHNDX = 1, 2, 3, 4, 8, 9, 18
WRITE, ALLOC, EXEC = 1, 2, 4
LOCAL, GLOBAL = 0, 1
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
RESERVED, ABS, XINDEX = 0xFF00, 0xFFF1, 0xFFFF


@dataclass(frozen=True)
class Section:
    """A section; `content` is bytes, or a number of bytes that take no room in the file."""

    name: str
    content: bytes | int = b""
    address: int = 0
    flags: int = 0
    type: int = PROGBITS
    link: int = 0
    info: int = 0
    entsize: int = 0


@dataclass(frozen=True)
class Symbol:
    """A symbol; `section` is an index as in the file: the writer's first section has 1."""

    name: str
    value: int = 0
    size: int = 0
    type: int = NOTYPE
    bind: int = GLOBAL
    section: int = 1


@dataclass(frozen=True)
class Relocation:
    """A relocation; `symbol` is an index as in the file: the writer's first symbol has 1."""

    offset: int
    type: int
    symbol: int = 0
    addend: int = 0


@dataclass(frozen=True)
class File:
    """An ELF file: by default a linked x86_64 image.

    `relocations` are by the index of the section that they are of. With `extended`, symbols name their sections in
    an SHT_SYMTAB_SHNDX section. `header` replaces fields of the file header by name.
    """

    sections: Sequence[Section] = ()
    symbols: Sequence[Symbol] | None = ()
    relocations: Mapping[int, Sequence[Relocation]] = field(default_factory=dict)
    bits: int = 64
    order: str = "<"
    machine: int = 62
    type: int = ET_EXEC
    rela: bool = True
    extended: bool = False
    header: dict[str, int] = field(default_factory=dict)

    def write(self) -> bytes:
        """The bytes of the file."""
        all_sections = [Section("", type=0), *self.sections]
        if self.symbols is not None:
            all_sections += self._symbol_sections(len(all_sections))
        names = Strings()
        indices = [names.add(section.name) for section in (*all_sections, Section(".shstrtab"))]
        all_sections.append(Section(".shstrtab", names.content, type=STRTAB))

        wide = self.bits == 64
        at = 64 if wide else 52
        body, headers = b"", b""
        for section, name in zip(all_sections, indices, strict=True):
            content = section.content if isinstance(section.content, bytes) else b""
            size = len(content) if isinstance(section.content, bytes) else section.content
            headers += self._pack(
                "IIQQQQIIQQ" if wide else "10I",
                name, section.type, section.flags, section.address, at + len(body), size,
                section.link, section.info, 1, section.entsize,
            )  # fmt: skip
            body += content + bytes(-len(content) % 8)
        fields = {
            "type": self.type, "machine": self.machine, "version": 1, "entry": 0, "phoff": 0, "shoff": at + len(body),
            "flags": 0, "ehsize": at, "phentsize": 56 if wide else 32, "phnum": 0, "shentsize": 64 if wide else 40,
            "shnum": len(all_sections), "shstrndx": len(all_sections) - 1,
        } | self.header  # fmt: skip
        ident = bytes([0x7F, *b"ELF", 2 if wide else 1, 1 if self.order == "<" else 2, 1]).ljust(16, b"\0")
        return ident + self._pack("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH", *fields.values()) + body + headers

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def _symbol_sections(self, index: int) -> list[Section]:
        """.symtab, .strtab, relocation sections and .symtab_shndx; the first has the number `index`."""
        strings, rows, extended = Strings(), b"", b""
        for symbol in (Symbol("", bind=LOCAL, section=0), *(self.symbols or ())):
            info, section, real = symbol.bind << 4 | symbol.type, symbol.section, 0
            if self.extended and section < RESERVED:
                section, real = XINDEX, section
            name = strings.add(symbol.name)
            if self.bits == 64:
                rows += self._pack("IBBHQQ", name, info, 0, section, symbol.value, symbol.size)
            else:
                rows += self._pack("IIIBBH", name, symbol.value, symbol.size, info, 0, section)
            extended += self._pack("I", real)
        made = [
            Section(".symtab", rows, type=SYMTAB, link=index + 1, entsize=24 if self.bits == 64 else 16),
            Section(".strtab", strings.content, type=STRTAB),
        ]
        for number, relocations in self.relocations.items():
            content = b"".join(self._relocation(relocation) for relocation in relocations)
            size = (24 if self.rela else 16) if self.bits == 64 else (12 if self.rela else 8)
            title = (".rela" if self.rela else ".rel") + self.sections[number - 1].name
            made.append(Section(title, content, type=RELA if self.rela else REL, link=index, info=number, entsize=size))
        if self.extended:
            made.append(Section(".symtab_shndx", extended, type=SHNDX, link=index, entsize=4))
        return made

    def _relocation(self, relocation: Relocation) -> bytes:
        info = relocation.symbol << (32 if self.bits == 64 else 8) | relocation.type
        layout = "QQ" if self.bits == 64 else "II"
        if not self.rela:
            return self._pack(layout, relocation.offset, info)
        return self._pack(layout + ("q" if self.bits == 64 else "i"), relocation.offset, info, relocation.addend)


class Strings:
    """A string table."""

    def __init__(self) -> None:
        self.content = b"\0"

    def add(self, name: str) -> int:
        at = len(self.content)
        self.content += name.encode("utf-8", "surrogateescape") + b"\0"
        return at if name else 0
