"""ELF headers as numpy records, and their constants. Source: System V gABI, chapters 4 and 5."""

import io
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs  # not elffile: it imports all of DWARF

from buildplug.arch.model import Arch
from buildplug.native import loops

Array = loops.Array

SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_DYNSYM, SHT_SYMTAB_SHNDX = 2, 3, 4, 7, 8, 9, 11, 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK, SHF_TLS = 1, 2, 4, 0x40, 0x400
SHN_UNDEF, SHN_XINDEX = 0, 0xFFFF
# Reserved section numbers as `symbols` has them, beyond those of all sections; a file has their low 16 bits.
RESERVED = 0xFFFF0000
SHN_LORESERVE, SHN_ABS = RESERVED | 0xFF00, RESERVED | 0xFFF1
MOST_SECTIONS = 0xFF00  # numbers from here on do not fit into 16 bits: extended numbering
STB_LOCAL, STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 0, 1, 2, 10
PT_NULL, PT_LOAD, PT_PHDR, PT_TLS, PT_LOOS = 0, 1, 6, 7, 0x60000000
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W, PF_R = 1, 2, 4
MOST_SEGMENTS = 256  # no linker makes more than a dozen or so; core dumps have thousands
FEW = 16  # values that are found faster one by one than by sorting
MANY = 256  # integers that numpy sorts in more time than a loop of our own
PIECE = 1 << 20  # bytes of a string table that are looked at together
OVERLAPPING = 3  # times the size of a string table that its names may have together, if it is a linker's
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


def distinct(values: Array) -> Array:
    """The different values, ascending. np.unique() imports numpy.ma, which takes longer than the link of a small
    kernel."""
    ordered = np.sort(values, axis=None)
    found: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return found


def sorting(*keys: Array) -> Array:
    """np.lexsort() of integers: the indices that sort by the last key, then the one before, and so on; equal ones as
    they stand."""
    if len(keys[0]) < MANY:
        return np.lexsort(keys)
    if _are_sorted(keys):
        return np.arange(len(keys[0]))
    order = np.zeros(0, "i8")
    for number, key in enumerate(keys):
        some = key if number == 0 else key[order]
        if some.dtype.kind == "i":
            some = some.astype("i8").view("u8") ^ np.uint64(1 << 63)
        quickly = loops.sort_numbers(some)
        if quickly is None:
            return np.lexsort(keys)
        order = quickly.astype("i8") if number == 0 else order[quickly]
    return order


def _are_sorted(keys: Sequence[Array]) -> bool:
    """Whether they are in the order of sorting(), as linkers leave much."""
    same = np.ones(len(keys[0]) - 1, bool)  # as the one before, as far as the keys so far say
    for key in reversed(keys):
        if (same & (key[1:] < key[:-1])).any():
            return False
        same &= key[1:] == key[:-1]
    return True


def among(values: Array, choices: Iterable[object]) -> Array:
    """Whether each value is one of a few choices, bool, shape as values."""
    found = np.zeros(len(values), bool)
    for choice in choices:
        found |= values == choice
    return found


def within(values: Array, choices: Array) -> Array:
    """Whether each value is one of the choices, bool, shape as values. np.isin() sorts or hashes both, which takes
    several times as long."""
    if len(choices) <= FEW:
        return among(values, choices)
    ordered = np.sort(choices)
    found: Array = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found


def joined(parts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """Records of one dtype, one array after the other. Copies bytes: np.concatenate() copies records field by field, as
    indexing by an array does. So take() and compress() are used for many records."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros(0, "u1"), *(np.ascontiguousarray(part).view("u1") for part in parts)]).view(dtype)


def name_lengths(strings: Array, starts: Array) -> Array:
    """The length of the name at each offset in a string table, shape as starts."""
    quickly = loops.name_lengths(strings, starts, OVERLAPPING * len(strings) + PIECE)
    if quickly is not None:
        return quickly
    order = np.argsort(starts, kind="stable")
    ordered = starts[order].astype("i8", copy=False)
    known = _known_ends(strings, ordered)
    lengths = np.zeros(len(starts), "i8")
    lengths[order] = (_found_ends(strings, ordered) if known is None else known) - ordered
    return lengths


def _known_ends(strings: Array, ordered: Array) -> Array | None:
    """The zero byte behind each of these offsets, ascending, where each but the last stands in front of one of them, as
    in the tables that linkers make. None for others."""
    if not len(ordered) or ordered[-1] >= len(strings):
        return None
    last = int(ordered[-1]) + int(np.argmin(strings[ordered[-1] :]))
    begins = (ordered > 0) & (strings[ordered - 1] == 0) & np.append(True, ordered[1:] != ordered[:-1])
    zeros = np.append(ordered[begins] - 1, last)
    if strings[last] or len(zeros) + np.count_nonzero(strings[: last + 1]) <= last:
        return None
    found: Array = zeros[np.cumsum(begins)]
    return found


def _found_ends(strings: Array, ordered: Array) -> Array:
    """The same of any table. Takes it in pieces, as an index of all its names may be much larger than the file."""
    ends, end = np.zeros(len(ordered), "i8"), len(strings)
    for at in range(len(strings) // PIECE * PIECE, -1, -PIECE):
        zeros = np.append(np.flatnonzero(strings[at : at + PIECE] == 0) + at, end)
        low, high = np.searchsorted(ordered, (at, at + PIECE))
        ends[low:high] = zeros[np.searchsorted(zeros, ordered[low:high])]
        end = int(zeros[0])
    return ends


def checked_lengths(strings: Array, starts: Array) -> Array:
    """name_lengths(). Raises ValueError for a name outside a string table, or for names that share so many bytes that
    together they are much longer than the table: linkers share only the ends of some."""
    if int(starts.max(initial=0)) > len(strings):
        raise ValueError("a name outside the string table")
    lengths, most = name_lengths(strings, starts), OVERLAPPING * len(strings) + PIECE
    if int(lengths.sum()) > most < int(name_lengths(strings, distinct(starts)).sum()):
        raise ValueError("names that are longer than the string table")
    return lengths


def file_header(file: bytes | mmap.mmap) -> tuple[int, str, Any]:
    """The address bits, the byte order (`<` or `>`), and the file header as pyelftools reads it. Raises any exception
    for malformed bytes."""
    bits, order = {1: 32, 2: 64}.get(file[4], 0), {1: "<", 2: ">"}.get(file[5], "")
    if not (bits and order):
        raise ValueError(f"EI_CLASS {file[4]}, EI_DATA {file[5]}")
    structs = ELFStructs(little_endian=order == "<", elfclass=bits)
    structs.create_basic_structs()
    return bits, order, struct_parse(structs.Elf_Ehdr, io.BytesIO(file[: structs.Elf_Ehdr.sizeof()]))


def sections(file: bytes | mmap.mmap, header: Any, arch: Arch) -> tuple[Array, int]:
    """The section headers, shape (n,), dtype SECTION, and the number of the one with their names. Raises ValueError for
    headers outside the file. The first header has the numbers that do not fit into the file header."""
    dtype, start, count = record(SECTION, arch), header["e_shoff"], header["e_shnum"]
    room = (len(file) - start) // dtype.itemsize
    if not start or header["e_shentsize"] != dtype.itemsize or room < 1:
        raise ValueError("section headers")
    first = np.frombuffer(file, dtype, 1, start)[0]
    count = count or int(first["size"])
    if not 0 < count <= room:
        raise ValueError("section headers")
    strings = header["e_shstrndx"]
    return np.frombuffer(file, dtype, count, start), int(first["link"]) if strings == SHN_XINDEX else int(strings)
