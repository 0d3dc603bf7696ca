"""ELF headers as numpy records, and their constants. Source: System V gABI, chapters 4 and 5."""

from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from elftools.elf.elffile import ELFFile

from buildplug.arch.model import Arch

Array = npt.NDArray[Any]

SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_DYNSYM, SHT_SYMTAB_SHNDX = 2, 3, 4, 7, 8, 9, 11, 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK = 1, 2, 4, 0x40
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFFF
STB_GLOBAL, STB_WEAK = 1, 2
PT_LOAD, PT_LOOS = 1, 0x60000000
PF_X, PF_W, PF_R = 1, 2, 4
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_TLS, STT_GNU_IFUNC = 0, 1, 2, 3, 4, 6, 10

# Fields of records: (name, numpy type); an empty type is an address-wide integer.
Fields = tuple[tuple[str, str], ...]
FILE: Fields = (
    ("ident", "V16"), ("type", "u2"), ("machine", "u2"), ("version", "u4"), ("entry", ""), ("phoff", ""),
    ("shoff", ""), ("flags", "u4"), ("ehsize", "u2"), ("phentsize", "u2"), ("phnum", "u2"), ("shentsize", "u2"),
    ("shnum", "u2"), ("shstrndx", "u2"),
)  # fmt: skip
SECTION: Fields = (
    ("name", "u4"), ("type", "u4"), ("flags", ""), ("address", ""), ("offset", ""), ("size", ""), ("link", "u4"),
    ("info", "u4"), ("alignment", ""), ("entsize", ""),
)  # fmt: skip
_EXTENT: Fields = (("offset", ""), ("vaddr", ""), ("paddr", ""), ("filesz", ""), ("memsz", ""))
SEGMENT: dict[int, Fields] = {  # by address bits
    32: (("type", "u4"), *_EXTENT, ("flags", "u4"), ("align", "")),
    64: (("type", "u4"), ("flags", "u4"), *_EXTENT, ("align", "")),
}
SYMBOL: dict[int, Fields] = {
    32: (("name", "u4"), ("value", ""), ("size", ""), ("info", "u1"), ("other", "u1"), ("section", "u2")),
    64: (("name", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2"), ("value", ""), ("size", "")),
}
REL: Fields = (("offset", ""), ("info", ""))


def record(fields: Fields, arch: Arch) -> np.dtype[Any]:
    """The dtype of a record in an architecture's files."""
    return np.dtype([(name, arch.byteorder + (kind or f"u{arch.word}")) for name, kind in fields])


def rela(arch: Arch) -> np.dtype[Any]:
    """The dtype of an SHT_RELA relocation."""
    return record((*REL, ("addend", f"i{arch.word}")), arch)


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; `address`, `offset` and `size` are in bytes."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entsize: int

    @property
    def alloc(self) -> bool:
        return bool(self.flags & SHF_ALLOC)

    @property
    def executable(self) -> bool:
        return bool(self.flags & SHF_EXECINSTR)


def elf_file(file: Any) -> ELFFile:
    """The pyelftools reader of a file in memory."""
    return ELFFile(cast(IO[bytes], file))


def sections(file: Any, arch: Arch) -> Array:
    """The section headers, shape (n,), dtype SECTION. Raises ValueError for headers outside the file.

    If there are too many for e_shnum, section 0 has their number (gABI, "ELF Header").
    """
    elf = elf_file(file)
    dtype, start, count = record(SECTION, arch), elf.header["e_shoff"], elf.num_sections()
    if not count or elf.header["e_shentsize"] != dtype.itemsize or start + count * dtype.itemsize > len(file):
        raise ValueError("section headers")
    return np.frombuffer(file, dtype, count, start)


def named(file: Any, headers: Array) -> tuple[Section, ...]:
    """The sections with their names. Raises ValueError for a name outside the string table."""
    strings = headers[elf_file(file).get_shstrndx()]
    start, size = int(strings["offset"]), int(strings["size"])
    table = bytes(file[start : start + size]) + b"\0"
    starts = headers["name"].tolist()
    names = [table[at : table.index(0, at)].decode(errors="backslashreplace") for at in starts]
    columns = [headers[field].tolist() for field, _ in SECTION[1:]]
    return tuple(map(Section, range(len(names)), names, *columns))
