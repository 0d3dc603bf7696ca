"""The only reader of ELF files: sections as records, symbols and relocations as numpy arrays.

All indices are checked here, in file.py and in symtab.py, once: users of an `Image` can rely on a symbol's section and
a relocation's symbol to exist. Source: System V gABI, chapters 4 and 5.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from buildplug.base import input_order
from buildplug.base.errors import BuildplugError
from buildplug.image import headers
from buildplug.image.headers import SHF_ALLOC, SHT_NOBITS, SHT_REL, SHT_RELA, Array, Section, among
from buildplug.image.symtab import SymbolTable
from buildplug.native import loops

# A relocation: index of its section, offset in that (bytes), r_type, symbol index, addend (for SHT_REL, too).
RELOCATION = np.dtype(
    [("section", "u4"), ("offset", "u8"), ("type", "u4"), ("symbol", "u4"), ("addend", "i8")], align=True
)

# A field that the loader fills: its address, the address that goes in, and that addend's offset in the file.
LOADED = np.dtype([("place", "u8"), ("address", "u8"), ("offset", "u8")])

# Pages of the address space, as loops.find_referring() has them: the address of the first, the logarithm of their size,
# and whether each is meant.
Near = tuple[int, int, Array]
ANYWHERE: Near = 0, 63, np.ones(2, bool)
MOST_RUNS = 64
PIECE = 1 << 15  # relocations that are looked at together: they fit into a processor's cache


class Image(SymbolTable):
    """A linked ELF file: its sections, symbols and relocations."""

    _cut: tuple[int, ...] = ()  # the indices of the sections whose starts are left out

    def without_start(self, section: Section, size: int) -> "Image":
        """The same image, as if the section began so many bytes later: without those, and without their
        relocations."""
        image = Image.of(self.path, self._file)
        image.headers = image.sections.headers = self.headers.copy()
        image.headers["address"][section.index] += size
        image.headers["offset"][section.index] += size
        image.headers["size"][section.index] -= size
        image._cut = (*self._cut, section.index)
        image.adopt(self)
        return image

    @cached_property
    def _relocation_sections(self) -> Array:
        """The indices of the kept relocation sections. What they relocate is said by sh_info: names are arbitrary."""
        kept = among(self.headers["type"], (SHT_RELA, SHT_REL))
        kept &= self.headers["flags"] & SHF_ALLOC == 0  # .rela.dyn is the loader's
        found = np.flatnonzero(kept)
        about = self.headers["info"][found]
        wrong = (about == 0) | (about >= len(self.headers))
        if wrong.any():
            table = self.sections[int(found[np.argmax(wrong)])]
            raise self.bad(f"section {table.name}: expected a section to relocate, found index {table.info}")
        full: Array = found[self.headers["size"][found] > 0]
        return full

    @property
    def has_relocations(self) -> bool:
        """Whether the linker kept relocations of allocated sections."""
        about = self.headers["info"][self._relocation_sections]
        return bool((self.headers["flags"][about] & SHF_ALLOC).any())

    def relocations(self, against: Array | None = None, of: Array | None = None, near: Near = ANYWHERE) -> Array:
        """The kept relocations, dtype RELOCATION, shape (n,), in the order of the relocation sections.

        `against`: bool, shape (symbols,), selects by symbol. `of`: bool, shape (sections,), selects by section; the
        default is all allocated ones. `near`: with `against`, those that refer to no such page may be left out.
        r_offset, an address in a linked image, becomes an offset in the section. Raises BuildplugError for a relocation
        outside its section or with a nonexistent symbol.
        """

        def chosen(raw: Array, tables: Array, ends: Array) -> Array | None:
            return None if against is None else loops.find_referring(raw, against, self.symbols["value"], near)

        return self._rows(against, of, chosen)

    def doubtful(self, of: Array, sure: Array, kinds: Array) -> Array:
        """relocations() of sections, of which those may be left out that are as loops.find_doubtful() says."""

        def chosen(raw: Array, tables: Array, ends: Array) -> Array | None:
            found, first = [np.zeros(0, "u4")], 0
            for table, end in zip(tables.tolist(), ends.tolist(), strict=True):
                home = self.sections[int(self.headers["info"][table])]
                content, values = self.bytes_of(home), self.symbols["value"]
                some = loops.find_doubtful(raw[first:end], sure, values, kinds, content, home.address)
                if some is None:
                    return None
                found.append(some + np.uint32(first))
                first = end
            return np.concatenate(found)

        return self._rows(None, of, chosen)

    def _rows(
        self, against: Array | None, of: Array | None, choose: Callable[[Array, Array, Array], Array | None]
    ) -> Array:
        """relocations(), of which `choose` finds those that matter, given records, their sections and where each of
        these ends; None if it cannot tell."""
        tables = self._relocation_sections
        of = self.headers["flags"] & SHF_ALLOC != 0 if of is None else of
        tables = tables[of[self.headers["info"][tables]]]
        kinds = [(kind, tables[self.headers["type"][tables] == kind]) for kind in (SHT_RELA, SHT_REL)]
        # all of them are many: made in one place
        most = sum(int(self.headers["size"][some].sum()) // self._record(kind).itemsize for kind, some in kinds)
        room, parts, done = np.zeros(most if against is None else 0, RELOCATION), list[Array](), 0
        for kind, some in kinds:
            for run in self._runs(some) if len(some) else ():
                raw, ends = self._raw(run, self._record(kind))
                chosen = None if input_order.shuffling() else choose(raw, run, ends)
                size = PIECE if chosen is None else len(raw)
                for first in range(0, len(raw), size):
                    piece = raw[first : first + size]
                    parts.append(self._relocations(piece, first, run, ends, against, room[done:], chosen))
                    done += len(parts[-1])
        self.leave()  # they are half of the file
        rows = room[:done] if against is None else headers.joined(parts, RELOCATION)
        return rows.take(input_order.permutation(len(rows))) if input_order.shuffling() else rows

    def _record(self, kind: int) -> np.dtype[Any]:
        """The dtype of a relocation in a section of this type."""
        return headers.rela(self.arch) if kind == SHT_RELA else headers.record(headers.REL, self.arch)

    def _relocations(
        self, raw: Array, first: int, tables: Array, ends: Array, against: Array | None, room: Array,
        chosen: Array | None,
    ) -> Array:  # fmt: skip
        """relocations() that are records of sections, `raw`, the first of which is the one numbered `first`, at the
        start of `room` unless that is empty. `chosen`: which of them, if it is known; else, few enough at a time for
        the processor's cache."""
        wide = self.arch.bits == 64
        about = self.headers["info"][tables]
        info = raw["info"] if chosen is None else raw["info"][chosen]
        symbol = (info >> np.uint8(32 if wide else 8)).astype("u4")
        known = chosen is not None or int(symbol.max()) < len(self.symbols)
        if input_order.shuffling() and known:
            symbol = np.argsort(input_order.permutation(len(self.symbols)))[symbol].astype("u4")
        wanted = against[symbol] if against is not None and known else np.ones(len(symbol), bool)
        entries = np.flatnonzero(wanted)
        types = info[entries] & info.dtype.type(0xFFFFFFFF if wide else 0xFF)
        if not types.all():  # R_*_NONE: left by tools that remove relocations
            entries, types = entries[types != 0], types[types != 0]
        symbol = symbol[entries]
        entries = entries if chosen is None else chosen[entries]

        def bad(row: int, problem: str) -> BuildplugError:
            number = int(np.searchsorted(ends, first + entries[row], "right"))
            entry = first + int(entries[row]) - int(np.append(0, ends)[number])
            return self.bad(f"section {self.sections[int(tables[number])].name}, entry {entry}: {problem}")

        if not known and len(entries) and int(symbol.max()) >= len(self.symbols):
            raise bad(int(np.argmax(symbol)), "its symbol lies outside the symbol table")
        if not known and against is not None:
            entries, types, symbol = (column[against[symbol]] for column in (entries, types, symbol))
        if self._cut:
            home = about[np.searchsorted(ends, first + entries, "right")]
            kept = ~among(home, self._cut) | (raw["offset"][entries] >= self.addresses[home])
            entries, types, symbol = entries[kept], types[kept], symbol[kept]
        rows = room[: len(entries)] if len(room) else np.zeros(len(entries), RELOCATION)
        rows["section"] = about[np.searchsorted(ends, first + entries, "right")]
        rows["offset"] = raw["offset"][entries]
        if self.type != "ET_REL":
            rows["offset"] -= self.addresses[rows["section"]]
        rows["symbol"] = symbol
        rows["type"] = types
        outside = rows["offset"] >= self.headers["size"].astype("u8")[rows["section"]]
        if outside.any():
            row = int(np.argmax(outside))
            name = self.sections[int(rows["section"][row])].name
            raise bad(row, f"its offset lies outside {name}")
        rows["addend"] = raw["addend"][entries] if "addend" in (raw.dtype.names or ()) else self._addends(rows)
        return rows

    def _runs(self, tables: Array) -> list[Array]:
        """Relocation sections in parts that each need no copy, as linkers put them one after the other; in one if there
        are many."""
        ends = (self.headers["offset"] + self.headers["size"])[tables]
        gaps = np.flatnonzero(self.headers["offset"][tables][1:] != ends[:-1]) + 1
        return np.split(tables, gaps) if len(gaps) < MOST_RUNS else [tables]

    def _raw(self, tables: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """The records of relocation sections of one type, one section after the other, and after which of them each
        section ends, shape as tables. Raises BuildplugError for a section that is not made of them, or relocates one
        without content."""
        about = self.headers["info"][tables]
        without = self.headers["type"][about] == SHT_NOBITS
        if without.any():
            table = self.sections[int(tables[np.argmax(without)])]
            name = self.sections[table.info].name
            raise self.bad(f"section {table.name}: expected relocations of content, {name} has none")
        offsets, sizes, entries = (self.headers[field][tables].astype("i8") for field in ("offset", "size", "entsize"))
        wrong = (sizes % dtype.itemsize != 0) | ((entries != 0) & (entries != dtype.itemsize))
        if wrong.any():
            self.records(self.sections[int(tables[np.argmax(wrong)])], dtype)  # raises
        counts = sizes // dtype.itemsize
        ends = np.cumsum(counts)
        if np.array_equal(offsets[1:], (offsets + sizes)[:-1]):  # linkers put them one after the other
            return np.frombuffer(self.data[offsets[0] : offsets[0] + sizes.sum()], dtype), ends
        records = np.ndarray((len(self.data) - dtype.itemsize + 1,), dtype, self.data.data, strides=(1,))
        within = (np.arange(int(ends[-1])) - np.repeat(ends - counts, counts)) * dtype.itemsize
        return records[np.repeat(offsets, counts) + within], ends

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

    def _addends(self, rows: Array) -> Array:
        """The addends of SHT_REL relocations: the field holds the final value, so subtract S and add P. 0 where the
        linker may have relaxed the instruction."""
        addends = np.zeros(len(rows), "i8")
        values = self.symbols["value"][rows["symbol"]].astype("i8")
        for kind, field in self.arch.relocations.items():
            chosen = np.flatnonzero((rows["type"] == kind) & (kind not in self.arch.relaxed))
            sections, offsets = rows["section"][chosen], rows["offset"][chosen]
            addresses = field.get(self.words(sections, offsets, field.size), offsets + self.addresses[sections])
            addends[chosen] = (addresses & np.uint64(self.arch.modulus - 1)).astype("i8") - values[chosen]
        return addends
