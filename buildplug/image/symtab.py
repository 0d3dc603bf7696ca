"""The symbol table of an ELF file, as numpy arrays."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from buildplug.base import input_order
from buildplug.image import headers, name_patterns
from buildplug.image.columns import Columns
from buildplug.image.file import File
from buildplug.image.headers import (
    MOST_SECTIONS,
    RESERVED,
    SHF_ALLOC,
    SHN_UNDEF,
    SHN_XINDEX,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    STT_FUNC,
    STT_OBJECT,
    STT_SECTION,
    Array,
    Section,
    among,
    sorting,
)  # fmt: skip
from buildplug.image.names import Names

SOME = 0.5  # of all names: for more, what the table of all names knows already saves more


KINDS = {
    "name": "u4", "type": "u1", "bind": "u1", "mode": "u1", "visibility": "u1", "section": "u4", "value": "u8",
    "size": "u8",
}  # fmt: skip


class SymbolTable(File):
    """An ELF file with its symbols."""

    @cached_property
    def _symtab(self) -> Section | None:
        return next(self.sections.at(self.headers["type"] == SHT_SYMTAB), None)

    @cached_property
    def symbols(self) -> Columns:
        """The symbols in the order of .symtab, of KINDS; none if the image is stripped. section: an index into
        File.sections, or a reserved one such as SHN_ABS. mode: what to add to the value for an address to call: 1 for a
        Thumb function."""
        symbols = self._symbols(None)
        return symbols[input_order.permutation(len(symbols))] if input_order.shuffling() else symbols

    def narrow(self, prefixes: Sequence[str]) -> None:
        """Leaves out all symbols but those whose st_name has one of these prefixes. For callers that ask for no others,
        before anything else, and for no relocations that refer to symbols: takes less time than reading all."""
        if self._symtab is not None:
            self._check_names(self._entries["name"], None)
            names = Names(self._strings, self._entries["name"])
            found = [names.prefixed(prefix.encode(errors="surrogateescape")) for prefix in prefixes]
            self.symbols = self._symbols(headers.distinct(np.concatenate(found)))

    @cached_property
    def _entries(self) -> Array:
        """The symbols as the file has them."""
        kind = headers.record(headers.SYMBOL[self.arch.bits], self.arch)
        return np.zeros(0, kind) if self._symtab is None else self.records(self._symtab, kind)

    def _symbols(self, at: Array | None) -> Columns:
        """Those with the indices `at` in the file, or all."""
        raw = self._entries if at is None else self._entries[at]
        name, section = (raw[field].astype("u4") for field in ("name", "section"))
        value, size = (raw[field].astype("u8", copy=False) for field in ("value", "size"))  # mostly those of the file
        kind = raw["info"] & 15
        mode = np.broadcast_to(np.zeros(1, "u1"), kind.shape)
        if self.arch.thumb:
            mode = ((kind == STT_FUNC) & (value & np.uint64(1) > 0)).astype("u1")
            value = value - mode
        reserved = raw["section"] >= MOST_SECTIONS
        extended = next(self.sections.at(self.headers["type"] == SHT_SYMTAB_SHNDX), None)
        if extended is not None and len(raw):
            indices = self.records(extended, np.dtype(self.arch.byteorder + "u4"))
            escaped = np.flatnonzero(raw["section"] == SHN_XINDEX)
            entries = escaped if at is None else at[escaped]
            if len(escaped) and entries[-1] >= len(indices):
                raise self.bad(f"section {extended.name}: expected {len(self._entries)} entries, found {len(indices)}")
            section[escaped] = indices[entries]
            reserved[escaped] = False
        section[reserved] |= RESERVED
        wrong = (section >= len(self.sections)) & ~reserved
        if wrong.any():
            raise self.bad(f"symbol {_entry(at, wrong)}: expected a section below {len(self.sections)}")
        self._check_names(name, at)
        return Columns(
            name=name, type=kind, bind=raw["info"] >> 4, mode=mode, visibility=raw["other"] & 3, section=section,
            value=value, size=size,
        )  # fmt: skip

    def _check_names(self, names: Array, at: Array | None) -> None:
        """Raises BuildplugError if a name lies outside the string table. `at`: the indices of the symbols."""
        if len(names) and int(names.max()) >= len(self._strings):
            raise self.bad(f"symbol {_entry(at, names)}: its name lies outside the string table")

    @cached_property
    def found(self) -> dict[str, Any]:
        """What others have found of the symbols: a description of what was looked for -> result."""
        return {}

    @cached_property
    def values(self) -> Array:
        """The values of all symbols, ascending."""
        return np.sort(self.symbols["value"])

    def adopt(self, other: "SymbolTable") -> None:
        """Takes the symbols and names as `other` has read them, if they are of the same bytes."""
        if self._symtab and self._symtab == other._symtab and self._strings == other._strings:
            one, same = (image.bytes_of(self._symtab) for image in (self, other))
            if np.array_equal(one, same):
                self.symbols, self.name_table = other.symbols, other.name_table
                if self.sections.names == other.sections.names:
                    self.found = other.found

    @cached_property
    def _strings(self) -> bytes:
        if self._symtab is None or self._symtab.link >= len(self.sections):
            raise self.bad("expected a string table for the symbols, found none")
        return b"".join((self.bytes_of(self.sections[self._symtab.link]).data, b"\0"))

    @cached_property
    def name_table(self) -> Names:
        """The st_name of every symbol, by index."""
        return Names(self._strings if len(self.symbols) else b"\0", self.symbols["name"], measure=self._name_lengths)

    def _name_lengths(self, strings: Array, starts: Array) -> Array:
        try:
            return headers.checked_lengths(strings, starts)
        except ValueError as error:
            raise self.bad(f"expected the names of symbols, found {error}") from None

    def name_of(self, symbol: int) -> str:
        """The name of a symbol; a section symbol has its section's. Bytes that are not UTF-8 are escaped."""
        return self.names_of(np.array([symbol]))[0]

    def names_of(self, chosen: Array) -> list[str]:
        """name_of() for the symbols with these indices."""
        names = self.name_table.decoded(chosen)
        places = np.flatnonzero(self._names_section[chosen])
        sections = self.symbols["section"][chosen[places]]
        for place, section in zip(places.tolist(), sections.tolist(), strict=True):
            names[place] = self.sections.names[section]
        return names

    @cached_property
    def names(self) -> list[str]:
        """name_of() for every symbol."""
        return self.names_of(np.arange(len(self.symbols)))

    def matching(self, patterns: Sequence[str], within: Array | None = None) -> Array:
        """Whether the name_of() each symbol matches one of the shell patterns, bool, shape (symbols,). `within`: a mask
        of the symbols that are asked about; it is False for others."""
        if within is not None and np.count_nonzero(within) < SOME * len(within):
            asked, found = np.flatnonzero(within), np.zeros(len(self.symbols), bool)
            found[asked] = name_patterns.matching(self.name_table.chosen(asked), patterns)
        else:
            found = name_patterns.matching(self.name_table, patterns)
        at = np.flatnonzero(self._names_section)
        if len(at):
            found[at] = name_patterns.matching(self.sections.table, patterns)[self.symbols["section"][at]]
        return found if within is None else found & within

    def with_prefix(self, prefix: str) -> Array:
        """The indices of the symbols whose st_name starts with `prefix`; much cheaper than `names`."""
        return self.name_table.prefixed(prefix.encode(errors="surrogateescape"))

    def called(self, name: str) -> Array:
        """The indices of the symbols of a name. Cheap, but for the first time."""
        wanted = f"called {name}"
        if wanted not in self.found:
            self.found[wanted] = self._called(name)
        at: Array = self.found[wanted]
        return at

    def _called(self, name: str) -> Array:
        if "\\" in name:  # name_of() has escaped bytes
            near = self.with_prefix(name.partition("\\")[0])
            found = near[[other == name for other in self.names_of(near)]] if len(near) else near
        else:
            found = self.name_table.equal(name.encode(errors="surrogateescape"))
        homes = np.array(self.sections.called(name), "i8")
        if len(homes):
            also = self._names_section & headers.within(self.symbols["section"], homes)
            found = headers.distinct(np.append(found, np.flatnonzero(also)))
        own = ~self._names_section[found] | headers.within(self.symbols["section"][found], homes)
        chosen: Array = found[own]
        return chosen

    @cached_property
    def _names_section(self) -> Array:
        """Whether each symbol's name is that of its section, bool."""
        found: Array = (self.symbols["type"] == STT_SECTION) & (self.symbols["section"] < len(self.sections))
        return found

    def symbol(self, name: str) -> Any:
        """A defined symbol, None if there is none. Prefers global, then the first."""
        found = self.called(name)
        found = found[self.symbols["section"][found] != SHN_UNDEF]
        if not len(found):
            return None
        return self.symbols[int(found[np.argmax(self.symbols["bind"][found] != 0)])]

    @cached_property
    def _by_section(self) -> tuple[Array, Array]:
        order = sorting(self.symbols["section"])
        return order, np.searchsorted(self.symbols["section"][order], np.arange(len(self.sections) + 1))

    def symbols_of(self, section: int) -> Array:
        """The indices of the symbols of a section, by its index, ascending."""
        order, ends = self._by_section
        found: Array = order[ends[section] : ends[section + 1]]
        return found

    def value_at(self, symbol: int) -> int:
        """The file offset of a symbol's st_value."""
        assert self._symtab is not None
        entry = self.entry_of(symbol)
        return self._symtab.offset + (24 * entry + 8 if self.arch.bits == 64 else 16 * entry + 4)

    def entry_of(self, symbol: int) -> int:
        """The index in .symtab of a symbol, by its index in `symbols`."""
        return int(input_order.permutation(len(self.symbols))[symbol]) if input_order.shuffling() else symbol

    def symbol_at(self, section: Section, at: int) -> int | None:
        """The index of the first function or object that the byte at an offset in a section is part of."""
        address = np.uint64(section.address + at)
        own = self.symbols_of(section.index)
        values, sizes = self.symbols["value"][own], self.symbols["size"][own]
        found = own[(values <= address) & (address - values < sizes)]
        return int(found[0]) if len(found) else None

    def address_of(self, name: str) -> int | None:
        """The address of a defined symbol; None if there is none."""
        row = self.symbol(name)
        return None if row is None else int(row["value"])

    @cached_property
    def containing_sections(self) -> Array:
        """The index of the section that contains each symbol, shape (symbols,), 0 for none. It is st_shndx unless a
        function or object lies outside that section: mold gives .text for symbols in its PLT."""
        symbols, sections = self.symbols, self.sections
        found: Array = np.where(symbols["section"] < len(sections), symbols["section"], 0)
        starts, sizes = (self.headers[what].astype("u8") for what in ("address", "size"))
        outside = among(symbols["type"], (STT_FUNC, STT_OBJECT)) & (found != 0)
        outside &= symbols["value"] - starts[found] > sizes[found]
        ordered = np.flatnonzero(self.headers["flags"] & SHF_ALLOC)
        ordered = ordered[np.lexsort((sizes[ordered], starts[ordered]))]
        if outside.any() and len(ordered):
            values = symbols["value"][outside]
            near = ordered[np.maximum(np.searchsorted(starts[ordered], values, "right"), 1) - 1]
            found[outside] = np.where(values - starts[near] < sizes[near], near, 0)
        return found


def _entry(at: Array | None, values: Array) -> int:
    """The index in the file of the symbol with the largest of some values. `at`: those of the symbols; None: all."""
    largest = int(np.argmax(values))
    return largest if at is None else int(at[largest])
