"""The symbol table of an ELF file, as numpy arrays."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from buildplug.base import input_order
from buildplug.image import headers
from buildplug.image.file import File
from buildplug.image.headers import (
    SHF_ALLOC,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHN_XINDEX,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    STT_FUNC,
    STT_OBJECT,
    STT_SECTION,
    Array,
    Section,
)  # fmt: skip

# Symbols in .symtab order. section: an index into File.sections, or a reserved one such as SHN_ABS. mode: what to add
# to the value for an address to call: 1 for a Thumb function.
SYMBOL = np.dtype(
    [
        ("name", "u4"), ("type", "u1"), ("bind", "u1"), ("mode", "u1"), ("section", "u4"), ("value", "u8"),
        ("size", "u8"),
    ],
    align=True,
)  # fmt: skip


def among(values: Array, choices: Iterable[object]) -> Array:
    """Whether each value is one of the choices, bool, shape as values. Faster than np.isin for few choices."""
    found: Array = np.logical_or.reduce([np.zeros(len(values), bool), *(values == choice for choice in choices)])
    return found


class SymbolTable(File):
    """An ELF file with its symbols."""

    @cached_property
    def _symtab(self) -> Section | None:
        return next(self.sections.at(self.headers["type"] == SHT_SYMTAB), None)

    @cached_property
    def symbols(self) -> Array:
        """The symbols, dtype SYMBOL, shape (n,). Empty if the image is stripped."""
        if self._symtab is None:
            return np.zeros(0, SYMBOL)
        raw = self.records(self._symtab, headers.record(headers.SYMBOL[self.arch.bits], self.arch))
        symbols = np.zeros(len(raw), SYMBOL)
        for field in ("name", "section", "value", "size"):
            symbols[field] = raw[field]
        symbols["type"], symbols["bind"] = raw["info"] & 15, raw["info"] >> 4
        if self.arch.thumb:
            symbols["mode"] = (symbols["type"] == STT_FUNC) & (symbols["value"] & np.uint64(1) > 0)
            symbols["value"] -= symbols["mode"]
        extended = next(self.sections.at(self.headers["type"] == SHT_SYMTAB_SHNDX), None)
        if extended is not None:
            indices = self.records(extended, np.dtype(self.arch.byteorder + "u4"))
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

    @cached_property
    def _checked_strings(self) -> bytes:
        """The string table of the symbols, from which all their names can be read."""
        try:
            headers.check_names(np.frombuffer(self._strings, np.uint8), np.unique(self.symbols["name"]))
        except ValueError as error:
            raise self.bad(f"expected the names of symbols, found {error}") from None
        return self._strings

    def name_of(self, symbol: int) -> str:
        """The name of a symbol; a section symbol has its section's. Bytes that are not UTF-8 are escaped."""
        row = self.symbols[symbol]
        if row["type"] == STT_SECTION and row["section"] < len(self.sections):
            return str(self.sections[row["section"]].name)
        start = int(row["name"])
        name: bytes = self._checked_strings[start : self._strings.index(0, start)]
        return name.decode(errors="backslashreplace")

    @cached_property
    def raw_names(self) -> list[bytes]:
        """The st_name of every symbol, undecoded; see `names`."""
        strings, find = self._checked_strings if len(self.symbols) else b"\0", bytes.index
        starts, numbers = np.unique(self.symbols["name"], return_inverse=True)  # many may share a long one
        names = [strings[start : find(strings, 0, start)] for start in starts.tolist()]
        return list(map(names.__getitem__, numbers.tolist()))

    @cached_property
    def names(self) -> list[str]:
        """name_of() for every symbol."""
        decoded = {name: name.decode(errors="backslashreplace") for name in self.raw_names}
        names = [decoded[name] for name in self.raw_names]
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

    def symbol_at(self, section: Section, at: int) -> int | None:
        """The index of the first function or object that the byte at an offset in a section is part of."""
        address = np.uint64(section.address + at)
        inside = (self.symbols["section"] == section.index) & (self.symbols["value"] <= address)
        found = np.flatnonzero(inside & (address - self.symbols["value"] < self.symbols["size"]))
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
