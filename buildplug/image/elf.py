"""The only reader of ELF files: sections as records, symbols and relocations as numpy arrays.

All indices are checked here, in file.py and in symtab.py, once: users of an `Image` can rely on a symbol's section and
a relocation's symbol to exist. Source: System V gABI, chapters 4 and 5.
"""

from collections.abc import Container, Iterator
from functools import cached_property

import numpy as np

from buildplug.base import input_order
from buildplug.image import headers
from buildplug.image.headers import SHF_ALLOC, SHT_NOBITS, SHT_REL, SHT_RELA, Array, Section
from buildplug.image.symtab import SymbolTable, among

# Relocations of a section: offset in it (bytes), r_type, symbol index, addend (for SHT_REL, too).
RELOCATION = np.dtype([("offset", "u8"), ("type", "u4"), ("symbol", "u4"), ("addend", "i8")])

# A field that the loader fills: its address, the address that goes in, and that addend's offset in the file.
LOADED = np.dtype([("place", "u8"), ("address", "u8"), ("offset", "u8")])


class Image(SymbolTable):
    """A linked ELF file: its sections, symbols and relocations."""

    @cached_property
    def _relocation_sections(self) -> list[tuple[Section, Section]]:
        """Each kept relocation section and the section that it relocates, by sh_info: names are arbitrary."""
        found = []
        kept = among(self.headers["type"], (SHT_RELA, SHT_REL))
        kept &= self.headers["flags"] & SHF_ALLOC == 0  # .rela.dyn is the loader's
        for table in self.sections.at(kept):
            if not 0 < table.info < len(self.sections):
                raise self.bad(f"section {table.name}: expected a section to relocate, found index {table.info}")
            if table.size:
                found.append((table, self.sections[table.info]))
        return found

    @property
    def has_relocations(self) -> bool:
        """Whether the linker kept relocations of allocated sections."""
        return any(section.alloc for _, section in self._relocation_sections)

    def relocations(
        self, against: Array | None = None, of: Container[int] | None = None
    ) -> Iterator[tuple[Section, Array]]:
        """The kept relocations of each allocated section that has any: (section, array of RELOCATION).

        `against`: bool, shape (symbols,), selects by symbol. `of`: indices, selects by section. r_offset, an address in
        a linked image, becomes an offset in the section. Raises BuildplugError for a relocation outside its section or
        with a nonexistent symbol.
        """
        for table, section in self._relocation_sections:
            if section.alloc and (of is None or section.index in of):
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
        raw = self.records(table, headers.rela(self.arch) if rela else headers.record(headers.REL, self.arch))
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
        for section in self.sections.at((self.headers["type"] == SHT_RELA) & (self.headers["flags"] & SHF_ALLOC != 0)):
            raw = self.records(section, headers.rela(self.arch))
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
