"""An ELF file: its sections as records, their bytes, its segments. Source: System V gABI, chapters 4 and 5."""

import mmap
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from buildplug.arch.registry import by_header
from buildplug.base import heap
from buildplug.base.errors import BuildplugError
from buildplug.image import headers
from buildplug.image.headers import MOST_SEGMENTS, SHF_ALLOC, SHT_NOBITS, Array, Section, distinct, sorting
from buildplug.image.sections import Sections


class File:
    """An ELF file, read only. Any access raises BuildplugError if it finds the file malformed."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BuildplugError(path, f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise BuildplugError(path, "expected an ELF file, found an empty file") from None
        heap.keep_freed()
        self._read(content)

    @classmethod
    def of(cls, path: Path, content: bytes | mmap.mmap) -> Self:
        """An image in memory; `path` is for messages."""
        image = cls.__new__(cls)
        image.path = path
        image._read(content)
        return image

    def _read(self, content: bytes | mmap.mmap) -> None:
        self._file = content
        self.data: Array = np.frombuffer(content, np.uint8)
        try:
            self._read_headers()
        except BuildplugError:
            raise
        except Exception as error:  # malformed bytes can make the parser raise anything
            raise self.bad(f"expected an ELF file, found headers that do not parse ({error!r:.60})") from None

    def leave(self) -> None:
        """Gives back the memory that holds the file. What is looked at again is read again."""
        if isinstance(self._file, mmap.mmap):
            self._file.madvise(mmap.MADV_DONTNEED)

    def bad(self, problem: str, remedy: str = "rebuild the file") -> BuildplugError:
        return BuildplugError(self.path, problem, remedy)

    def _read_headers(self) -> None:
        if self._file[:4] != b"\x7fELF":
            raise self.bad(f"expected an ELF file, found the first bytes {self._file[:4].hex(' ')}")
        bits, order, header = headers.file_header(self._file)
        machine = int.from_bytes(self._file[18:20], "little" if order == "<" else "big")
        self.arch = arch = by_header(machine, bits, order)
        self.header = np.frombuffer(self._file, headers.record(headers.FILE, arch), 1)[0]  # of the file
        self.type = str(header["e_type"])
        try:
            self.headers, names = headers.sections(self._file, header, arch)
        except ValueError:
            raise self.bad("expected section headers, found none or a file that ends before them") from None
        self._check_extents(self.headers)
        strings = self.headers[names]
        start, size = int(strings["offset"]), int(strings["size"])
        self.sections = Sections(self.headers, bytes(self._file[start : start + size]))

    def _check_extents(self, found: Array) -> None:
        """Checks section headers: content must lie in the file, and SHT_NOBITS in the address space."""
        in_memory, size = found["type"] == SHT_NOBITS, found["size"].astype("u8")
        limits = np.where(in_memory, np.uint64(self.arch.modulus - 1), np.uint64(len(self._file)))
        starts = np.where(in_memory, found["address"], found["offset"]).astype("u8")
        wrong = (found["type"] != 0) & ((size > limits) | (starts > limits - size))
        if wrong.any():
            index = int(np.argmax(wrong))
            end = "address space" if found["type"][index] == SHT_NOBITS else "file"
            raise self.bad(f"section {index}: expected {size[index]} bytes, found the end of the {end}")

    def records(self, section: Section, dtype: np.dtype[Any]) -> Array:
        """The content of a section as records, shape (n,). Raises BuildplugError if it is not made of them."""
        if section.size % dtype.itemsize or section.entsize not in (0, dtype.itemsize):
            raise self.bad(
                f"section {section.name}: expected records of {dtype.itemsize} bytes, "
                f"found {section.size} bytes in records of {section.entsize}"
            )
        return np.frombuffer(self.bytes_of(section), dtype)

    def bytes_of(self, section: Section) -> Array:
        """The content of a section, uint8, shape (size,); SHT_NOBITS has none, whatever its size."""
        if section.type == SHT_NOBITS:
            return self.data[:0]
        return self.data[section.offset : section.offset + section.size]

    def section(self, name: str) -> Section:
        """The only section of that name. Raises BuildplugError unless there is exactly one."""
        found = self.sections.called(name)
        if len(found) != 1:
            raise self.bad(f"expected one section {name}, found {len(found)}", "check the rule and the linker script")
        return self.sections[found[0]]

    def section_at(self, address: int) -> Section | None:
        """The allocated section that contains an address. If several overlap, the one that starts last, as pahole
        lets .BTF grow over what follows; of those at one address the first, as with .tbss."""
        found = int(self.sections_at(np.array([address], "u8"))[0])
        return self.sections[found] if found >= 0 else None

    def sections_at(self, addresses: Array) -> Array:
        """The index of section_at() for each address, -1 for none; shape as addresses."""
        starts, owners = self._owners
        found: Array = owners[np.searchsorted(starts, addresses, "right")]
        return found

    @cached_property
    def _owners(self) -> tuple[Array, Array]:
        """The addresses at which sections start or end, ascending, and the index of the section from there on, -1 for
        none; the latter begins with that of what is before the first address."""
        starts, ends, indices = self.by_address
        by_rank = np.lexsort((-indices, starts))
        starts, ends = starts[by_rank], ends[by_rank]
        edges = distinct(np.concatenate([starts, ends]))
        owners = np.full(len(edges) + 1, -1)
        first, last = (np.searchsorted(edges, each) + 1 for each in (starts, ends))
        np.maximum.at(owners, first, np.arange(len(first)))
        for rank in np.flatnonzero(last - first > 1).tolist():  # others start or end inside of these
            part = slice(first[rank], last[rank])
            owners[part] = np.maximum(owners[part], rank)
        return edges, np.append(indices[by_rank], -1)[owners]

    @cached_property
    def by_address(self) -> tuple[Array, Array, Array]:
        """The non-empty allocated sections by address: starts, ends, indices."""
        found = self.headers
        indices = np.flatnonzero((found["flags"] & SHF_ALLOC != 0) & (found["size"] > 0))
        indices = indices[sorting(found["address"][indices])]
        starts = found["address"][indices].astype("u8")
        return starts, starts + found["size"][indices].astype("u8"), indices

    @cached_property
    def segments(self) -> Array:
        """The program headers, shape (n,): type, flags, offset, vaddr, paddr, filesz, memsz, align; in bytes."""
        dtype = headers.record(headers.SEGMENT[self.arch.bits], self.arch)
        start, count = int(self.header["phoff"]), int(self.header["phnum"])
        if count > MOST_SEGMENTS or (count and self.header["phentsize"] != dtype.itemsize):
            raise self.bad(
                f"expected at most {MOST_SEGMENTS} program headers of {dtype.itemsize} bytes, "
                f"found {count} of {self.header['phentsize']}"
            )
        if start + count * dtype.itemsize > len(self._file):
            raise self.bad(f"expected {count} program headers, found the end of the file")
        return np.frombuffer(self._file, dtype, count, start) if count else np.zeros(0, dtype)

    def words(self, sections: Array | int, offsets: Array, size: int) -> Array:
        """The `size`-byte words at offsets in sections, by their indices, uint64, shape as offsets; 0 if not wholly
        inside the section's content."""
        starts, sizes = (each.astype("i8")[sections] for each in self.contents)
        offsets = offsets.astype("i8")
        inside = (offsets >= 0) & (offsets <= sizes - size)
        if len(self.data) < size:
            return np.zeros(len(offsets), "u8")
        dtype = f"{self.arch.byteorder}u{size}"
        words = np.ndarray((len(self.data) - size + 1,), dtype, self.data.data, strides=(1,))  # from every byte on
        return np.where(inside, words[np.where(inside, starts + offsets, 0)], 0).astype("u8")

    @cached_property
    def contents(self) -> tuple[Array, Array]:
        """The offset and the size of each section's content, bytes, uint64; SHT_NOBITS has none, whatever its size."""
        offset, size = (self.headers[field].astype("u8") for field in ("offset", "size"))
        return offset, np.where(self.headers["type"] == SHT_NOBITS, np.uint64(0), size)

    @cached_property
    def addresses(self) -> Array:
        """The address of each section, uint64."""
        found: Array = self.headers["address"].astype("u8")
        return found
