"""The only reader of ELF files: sections as records, symbols and relocations as numpy arrays.

All indices are checked here, once: users of an `Image` can rely on a symbol's section and a relocation's symbol
to exist. Source: System V gABI, chapters 4 and 5.
"""

import mmap
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from buildplug.arch.registry import by_header
from buildplug.base import input_order
from buildplug.base.errors import BuildplugError
from buildplug.image import headers
from buildplug.image.headers import (
    SHF_ALLOC,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHN_XINDEX,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    STT_FUNC,
    STT_OBJECT,
    STT_SECTION,
    Array,
    Section,
)  # fmt: skip

# Symbols in .symtab order. section: an index into Image.sections, or a reserved one such as SHN_ABS. mode: what to add
# to the value for an address to call: 1 for a Thumb function.
SYMBOL = np.dtype(
    [
        ("name", "u4"), ("type", "u1"), ("bind", "u1"), ("mode", "u1"), ("section", "u4"), ("value", "u8"),
        ("size", "u8"),
    ],
    align=True,
)  # fmt: skip
# Relocations of a section: offset in it (bytes), r_type, symbol index, addend (for SHT_REL, too).
RELOCATION = np.dtype([("offset", "u8"), ("type", "u4"), ("symbol", "u4"), ("addend", "i8")])

# A field that the loader fills: its address, the address that goes in, and that addend's offset in the file.
LOADED = np.dtype([("place", "u8"), ("address", "u8"), ("offset", "u8")])


def among(values: Array, choices: Iterable[object]) -> Array:
    """Whether each value is one of the choices, bool, shape as values. Faster than np.isin for few choices."""
    found: Array = np.logical_or.reduce([np.zeros(len(values), bool), *(values == choice for choice in choices)])
    return found


class Image:
    """A linked ELF file, read only. Any access raises BuildplugError if it finds the file malformed."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BuildplugError(path, f"cannot be read: {error.strerror}") from None
        except ValueError:
            raise BuildplugError(path, "expected an ELF file, found an empty file") from None
        self.data: Array = np.frombuffer(self._file, np.uint8)
        try:
            self._read_headers()
        except BuildplugError:
            raise
        except Exception as error:  # malformed bytes can make the parser raise anything
            raise self.bad(f"expected an ELF file, found headers that do not parse ({error!r:.60})") from None

    def bad(self, problem: str, remedy: str = "rebuild the file") -> BuildplugError:
        return BuildplugError(self.path, problem, remedy)

    def _read_headers(self) -> None:
        if self._file[:4] != b"\x7fELF":
            raise self.bad(f"expected an ELF file, found the first bytes {self._file[:4].hex(' ')}")
        elf = headers.elf_file(self._file)
        order, machine = (
            "<" if elf.little_endian else ">",
            int.from_bytes(self._file[18:20], "little" if elf.little_endian else "big"),
        )
        self.arch = arch = by_header(machine, elf.elfclass, order)
        self.type: str = str(elf.header["e_type"])
        self._segments_at = elf.header["e_phoff"], elf.header["e_phnum"]
        try:
            self.headers = headers.sections(self._file, arch)
        except ValueError:
            raise self.bad("expected section headers, found none or a file that ends before them") from None
        self._check_extents(self.headers)
        self.sections = headers.named(self._file, self.headers)

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

    def _records(self, section: Section, dtype: np.dtype[Any]) -> Array:
        if section.size % dtype.itemsize or section.entsize not in (0, dtype.itemsize):
            raise self.bad(
                f"section {section.name}: expected records of {dtype.itemsize} bytes, "
                f"found {section.size} bytes in records of {section.entsize}"
            )
        return np.frombuffer(self.bytes_of(section), dtype)

    def bytes_of(self, section: Section) -> Array:
        """The content of a section, uint8, shape (size,); for SHT_NOBITS zeros that take no memory."""
        if section.type == SHT_NOBITS:
            return np.broadcast_to(np.uint8(0), section.size)
        return self.data[section.offset : section.offset + section.size]

    def section(self, name: str) -> Section:
        """The only section of that name. Raises BuildplugError unless there is exactly one."""
        found = [section for section in self.sections if section.name == name]
        if len(found) != 1:
            raise self.bad(f"expected one section {name}, found {len(found)}", "check the rule and the linker script")
        return found[0]

    def section_at(self, address: int) -> Section | None:
        """The allocated section that contains an address; the first if several overlap, as with .tbss."""
        starts, ends, indices = self._by_address
        at = int(np.searchsorted(starts, np.uint64(address), "right")) - 1
        if (starts[1:] < ends[:-1]).any():  # some overlap
            inside = indices[(starts <= np.uint64(address)) & (np.uint64(address) < ends)]
            return self.sections[int(inside.min())] if len(inside) else None
        return self.sections[int(indices[at])] if at >= 0 and address < int(ends[at]) else None

    @cached_property
    def _by_address(self) -> tuple[Array, Array, Array]:
        """The non-empty allocated sections by address: starts, ends, indices."""
        found = self.headers
        indices = np.flatnonzero((found["flags"] & SHF_ALLOC != 0) & (found["size"] > 0))
        indices = indices[np.argsort(found["address"][indices], kind="stable")]
        starts = found["address"][indices].astype("u8")
        return starts, starts + found["size"][indices].astype("u8"), indices

    @cached_property
    def containing_sections(self) -> Array:
        """The index of the section that contains each symbol, shape (symbols,), 0 for none. It is st_shndx unless a
        function or object lies outside that section: mold gives .text for symbols in its PLT."""
        symbols, sections = self.symbols, self.sections
        found: Array = np.where(symbols["section"] < len(sections), symbols["section"], 0)
        starts, sizes = (np.array([getattr(s, what) for s in sections], "u8") for what in ("address", "size"))
        outside = among(symbols["type"], (STT_FUNC, STT_OBJECT)) & (found != 0)
        outside &= symbols["value"] - starts[found] > sizes[found]
        ordered = np.array(sorted((i for i, s in enumerate(sections) if s.alloc), key=lambda i: (starts[i], sizes[i])))
        if outside.any() and len(ordered):
            values = symbols["value"][outside]
            near = ordered[np.maximum(np.searchsorted(starts[ordered], values, "right"), 1) - 1]
            found[outside] = np.where(values - starts[near] < sizes[near], near, 0)
        return found

    @cached_property
    def segments(self) -> Array:
        """The program headers, shape (n,): type, flags, offset, vaddr, paddr, filesz, memsz, align; in bytes."""
        dtype = headers.record(headers.SEGMENT[self.arch.bits], self.arch)
        start, count = self._segments_at
        if start + count * dtype.itemsize > len(self._file):
            raise self.bad(f"expected {count} program headers, found the end of the file")
        return np.frombuffer(self._file, dtype, count, start) if count else np.zeros(0, dtype)

    @cached_property
    def _symtab(self) -> Section | None:
        return next((section for section in self.sections if section.type == SHT_SYMTAB), None)

    @cached_property
    def symbols(self) -> Array:
        """The symbols, dtype SYMBOL, shape (n,). Empty if the image is stripped."""
        if self._symtab is None:
            return np.zeros(0, SYMBOL)
        raw = self._records(self._symtab, headers.record(headers.SYMBOL[self.arch.bits], self.arch))
        symbols = np.zeros(len(raw), SYMBOL)
        for field in ("name", "section", "value", "size"):
            symbols[field] = raw[field]
        symbols["type"], symbols["bind"] = raw["info"] & 15, raw["info"] >> 4
        if self.arch.thumb:
            symbols["mode"] = (symbols["type"] == STT_FUNC) & (symbols["value"] & np.uint64(1) > 0)
            symbols["value"] -= symbols["mode"]
        extended = next((s for s in self.sections if s.type == SHT_SYMTAB_SHNDX), None)
        if extended is not None:
            indices = self._records(extended, np.dtype(self.arch.byteorder + "u4"))
            escaped = np.flatnonzero(symbols["section"] == SHN_XINDEX)
            if len(escaped) and escaped[-1] >= len(indices):
                raise self.bad(f"section {extended.name}: expected {len(symbols)} entries, found {len(indices)}")
            symbols["section"][escaped] = indices[escaped]
        reserved = (raw["section"] >= SHN_LORESERVE) & ((raw["section"] != SHN_XINDEX) | (extended is None))
        wrong = (symbols["section"] >= len(self.sections)) & ~reserved
        if wrong.any():
            raise self.bad(f"symbol {int(np.argmax(wrong))}: expected a section below {len(self.sections)}")
        if len(symbols) and int(symbols["name"].max()) >= len(self._strings):
            raise self.bad(f"symbol {int(np.argmax(symbols['name']))}: its name lies outside the string table")
        return symbols[input_order.permutation(len(symbols))] if input_order.shuffling() else symbols

    @cached_property
    def _strings(self) -> bytes:
        if self._symtab is None or self._symtab.link >= len(self.sections):
            raise self.bad("expected a string table for the symbols, found none")
        return b"".join((self.bytes_of(self.sections[self._symtab.link]).data, b"\0"))

    def name_of(self, symbol: int) -> str:
        """The name of a symbol; a section symbol has its section's. Bytes that are not UTF-8 are escaped."""
        row = self.symbols[symbol]
        if row["type"] == STT_SECTION and row["section"] < len(self.sections):
            return str(self.sections[row["section"]].name)
        start = int(row["name"])
        name: bytes = self._strings[start : self._strings.index(0, start)]
        return name.decode(errors="backslashreplace")

    @cached_property
    def raw_names(self) -> list[bytes]:
        """The st_name of every symbol, undecoded; see `names`."""
        strings, find = self._strings if len(self.symbols) else b"\0", bytes.index
        return [strings[start : find(strings, 0, start)] for start in self.symbols["name"].tolist()]

    @cached_property
    def names(self) -> list[str]:
        """name_of() for every symbol."""
        names = [name.decode(errors="backslashreplace") for name in self.raw_names]
        for index in np.flatnonzero(self.symbols["type"] == STT_SECTION):
            names[index] = self.name_of(int(index))
        return names

    def with_prefix(self, prefix: str) -> Array:
        """The indices of the symbols whose st_name starts with `prefix`; much cheaper than `names`."""
        strings = np.frombuffer(self._strings if len(self.symbols) else b"\0", np.uint8)
        starts = self.symbols["name"].astype("i8")
        at = np.arange(len(starts))
        for place, byte in enumerate(prefix.encode(errors="surrogateescape")):
            # past the end: the final zero byte, which no prefix contains
            at = at[strings[np.minimum(starts[at] + place, len(strings) - 1)] == byte]
        return at

    def symbol(self, name: str) -> Any:
        """The row (dtype SYMBOL) of a defined symbol, None if there is none. Prefers global, then the first."""
        candidates = self.with_prefix(name.partition("\\")[0]).tolist()  # a backslash: name_of() escaped bytes
        candidates += np.flatnonzero(self.symbols["type"] == STT_SECTION).tolist()
        found = [i for i in candidates if self.symbols["section"][i] != SHN_UNDEF and self.name_of(i) == name]
        best = max(found, key=lambda i: (int(self.symbols["bind"][i]) != 0, -i), default=None)
        return None if best is None else self.symbols[best]

    def value_at(self, symbol: int) -> int:
        """The file offset of a symbol's st_value."""
        assert self._symtab is not None
        entry = self.entry_of(symbol)
        return self._symtab.offset + (24 * entry + 8 if self.arch.bits == 64 else 16 * entry + 4)

    def entry_of(self, symbol: int) -> int:
        """The index in .symtab of a symbol, by its index in `symbols`."""
        return int(input_order.permutation(len(self.symbols))[symbol]) if input_order.shuffling() else symbol

    def address_of(self, name: str) -> int | None:
        """The address of a defined symbol; None if there is none."""
        row = self.symbol(name)
        return None if row is None else int(row["value"])

    @cached_property
    def _relocation_sections(self) -> list[tuple[Section, Section]]:
        """Each kept relocation section and the section that it relocates, by sh_info: names are arbitrary."""
        found = []
        for table in self.sections:
            if table.type not in (SHT_RELA, SHT_REL) or table.flags & SHF_ALLOC:  # .rela.dyn is the loader's
                continue
            if not 0 < table.info < len(self.sections):
                raise self.bad(f"section {table.name}: expected a section to relocate, found index {table.info}")
            if table.size:
                found.append((table, self.sections[table.info]))
        return found

    @property
    def has_relocations(self) -> bool:
        """Whether the linker kept relocations of allocated sections."""
        return any(section.alloc for _, section in self._relocation_sections)

    def relocations(self, against: Array | None = None) -> Iterator[tuple[Section, Array]]:
        """The kept relocations of each allocated section that has any: (section, array of RELOCATION).

        `against`: bool, shape (symbols,), selects by symbol. r_offset, an address in a linked image, becomes an offset
        in the section. Raises BuildplugError for a relocation outside its section or with a nonexistent symbol.
        """
        for table, section in self._relocation_sections:
            if section.alloc:
                yield section, self._relocations(table, section, against)

    def relocations_of(self, section: Section) -> Array:
        """relocations() of one section, allocated or not."""
        parts = [
            self._relocations(table, about, None) for table, about in self._relocation_sections if about == section
        ]
        return np.concatenate([*parts, np.zeros(0, RELOCATION)])

    def _relocations(self, table: Section, section: Section, against: Array | None) -> Array:
        """relocations() of `section` in the relocation section `table`."""
        wide = self.arch.bits == 64
        rela = table.type == SHT_RELA
        raw = self._records(table, headers.rela(self.arch) if rela else headers.record(headers.REL, self.arch))
        if section.type == SHT_NOBITS:
            raise self.bad(f"section {table.name}: expected relocations of content, {section.name} has none")
        # There are many relocations: read each column once, and copy only wanted rows.
        symbol = (raw["info"] >> np.uint8(32 if wide else 8)).astype("u4")
        known = int(symbol.max()) < len(self.symbols)
        if input_order.shuffling() and known:
            symbol = np.argsort(input_order.permutation(len(self.symbols)))[symbol].astype("u4")
        wanted = against[symbol] if against is not None and known else np.ones(len(raw), bool)
        entries = np.flatnonzero(wanted)
        kind = raw["info"][entries] & raw["info"].dtype.type(0xFFFFFFFF if wide else 0xFF)
        if not kind.all():  # R_*_NONE: left by tools that remove relocations
            entries, kind = entries[kind != 0], kind[kind != 0]
        if not known and int(symbol[entries].max(initial=0)) >= len(self.symbols):
            entry = int(entries[np.argmax(symbol[entries])])
            raise self.bad(f"section {table.name}, entry {entry}: its symbol lies outside the symbol table")
        if not known and against is not None:
            entries, kind = (column[against[symbol[entries]]] for column in (entries, kind))
        rows = np.zeros(len(entries), RELOCATION)
        rows["offset"] = raw["offset"][entries]
        rows["offset"] -= np.uint64(section.address if self.type != "ET_REL" else 0)
        rows["symbol"] = symbol[entries]
        rows["type"] = kind
        if len(rows) and int(rows["offset"].max()) >= section.size:
            entry = int(entries[np.argmax(rows["offset"])])
            raise self.bad(f"section {table.name}, entry {entry}: its offset lies outside {section.name}")
        rows["addend"] = raw["addend"][entries] if rela else self._addends(section, rows)
        return rows[input_order.permutation(len(rows))] if input_order.shuffling() else rows

    @cached_property
    def loaded(self) -> Array:
        """The fields that the loader fills with an address in the image, if position-independent; dtype LOADED, shape
        (n,). Without those of SHT_REL, which hold their address already."""
        found = [np.zeros(0, LOADED)]
        for section in self.sections:
            if section.type != SHT_RELA or not section.flags & SHF_ALLOC:
                continue
            raw = self._records(section, headers.rela(self.arch))
            rows = np.zeros(len(raw), LOADED)
            rows["place"], rows["address"] = raw["offset"], raw["addend"].astype("i8").astype("u8")
            rows["address"] &= np.uint64(self.arch.modulus - 1)
            rows["offset"] = section.offset + np.arange(1, len(raw) + 1) * raw.itemsize - self.arch.word
            found.append(rows[raw["info"] == self.arch.relative])
        return np.concatenate(found)

    def _addends(self, section: Section, rows: Array) -> Array:
        """The addends of SHT_REL relocations: the field holds the final value, so subtract S and add P. 0 where the
        linker may have relaxed the instruction."""
        addends = np.zeros(len(rows), "i8")
        values = self.symbols["value"][rows["symbol"]].astype("i8")
        for kind, field in self.arch.relocations.items():
            chosen = np.flatnonzero((rows["type"] == kind) & (kind not in self.arch.relaxed))
            offsets = rows["offset"][chosen]
            addresses = field.get(self.words(section, offsets, field.size), offsets + np.uint64(section.address))
            addends[chosen] = (addresses & np.uint64(self.arch.modulus - 1)).astype("i8") - values[chosen]
        return addends

    def words(self, section: Section, offsets: Array, size: int) -> Array:
        """The `size`-byte words at offsets in a section, uint64, shape as offsets; 0 if not wholly inside."""
        content = self.bytes_of(section)
        if len(content) < size:
            return np.zeros(len(offsets), "u8")
        inside = (offsets >= 0) & (offsets <= len(content) - size)
        index = np.where(inside, offsets, 0).astype("i8")[:, None] + np.arange(size)
        words = np.ascontiguousarray(content[index]).view(f"{self.arch.byteorder}u{size}")[:, 0]
        return np.where(inside, words, 0).astype("u8")
