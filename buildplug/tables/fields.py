"""Plain tables, whose row fields the rule defines, as bytes and as assembler expressions.

In memory: a header of two 32-bit words (number of rows; bytes per row) unless the rule omits it, the rows, then the
zero-terminated strings. An address field is relative to itself, relative to the table, or absolute, as the rule says; a
string field is relative to itself. The linker fills the fields in; encode() computes the bytes it must produce.
"""

from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Field, Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array, checked_lengths, distinct
from buildplug.image.names import Names
from buildplug.select.rows import columns_of
from buildplug.tables.binary import address_of
from buildplug.tables.format import Format, Source, rounded
from buildplug.tables.integers import CTYPE, DIRECTIVE, RUST_TYPE

HEAD = 8  # bytes
RUST = ".rs.j2"  # ends the names of templates of modules in Rust


class Address(NamedTuple):
    """An address for templates: the anchor symbol of its section, the offset in it, the section's name."""

    anchor: str
    offset: int
    section: str


@frozen
class Rows:
    """The rows of a table, in the rule's order: value -> column, shape (rows,). Addresses are those in the image that
    the rows come from; `at` is the table's."""

    rule: Rule
    arch: Arch
    at: int
    columns: dict[str, Array]
    section_names: tuple[str, ...]
    section_starts: Array  # addresses, ascending
    blob = None
    bases_at = None
    parts = ()
    op_names = ()

    @property
    def room(self) -> int:
        size = HEAD * self.rule.table.head + self.dtype.itemsize * len(self) + len(self._strings[0])
        return size if self.rule.table.placed else rounded(size)  # who places it may read all that is there

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a row in memory."""
        kinds = [
            (f.name, self.arch.byteorder + ("i4" if f.type == "string" else f.type)) for f in self.rule.table.fields
        ]
        return np.dtype(kinds)

    def encode(self) -> bytes:
        """The table's bytes in the image. Raises BuildplugError for a value that does not fit its field."""
        head = np.array([len(self), self.dtype.itemsize], self.arch.byteorder + "u4").tobytes() * self.rule.table.head
        rows = np.zeros(len(self), self.dtype)
        here = self.at + len(head) + self.dtype.itemsize * np.arange(len(self), dtype="i8").astype("u8")
        pool, places = self._strings
        for field in self.rule.table.fields:
            kind, offset = rows.dtype[field.name], rows.dtype.fields[field.name][1]
            values = self.columns[field.value]
            if self.rule.holds[field.value] == "string":
                ends = self.at + len(head) + rows.nbytes
                offsets = np.fromiter(map(places.__getitem__, values.tolist()), "u8", len(values))
                values = (offsets + np.uint64(ends)) - here
                values = (values - np.uint64(offset)).astype("i8")
            elif self.rule.holds[field.value] == "address":
                values = values - {"here": here + np.uint64(offset), "table": np.uint64(self.at)}.get(
                    field.base, np.uint64(0)
                )
                values = values.astype("i8" if kind.kind == "i" else "u8")
            wrong = np.flatnonzero((values < np.iinfo(kind).min) | (values > np.iinfo(kind).max))
            if len(wrong):
                raise BuildplugError(
                    f"rule {self.rule.name}, row {wrong[0]} ({self.comment(int(wrong[0]))})",
                    f"field {field.name}: expected a value that fits {field.type}, found {int(values[wrong[0]]):#x}",
                    "give the field a wider type, or another base",
                )
            rows[field.name] = values
        return head + rows.tobytes() + pool

    @cached_property
    def _strings(self) -> tuple[bytes, dict[str, int]]:
        """The bytes of all strings, and the offset of each."""
        values = [f.value for f in self.rule.table.fields if self.rule.holds[f.value] == "string"]
        used = dict.fromkeys(chain.from_iterable(self.columns[value].tolist() for value in values))
        pool = "\0".join([*used, ""]).encode()
        starts = np.append(0, np.flatnonzero(np.frombuffer(pool, "u1") == 0) + 1)
        return pool, dict(zip(used, starts.tolist(), strict=False))  # the last is the end

    def describe(self, at: int) -> str:
        """Which part of the table the byte at offset `at` belongs to."""
        row = (at - HEAD * self.rule.table.head) // self.dtype.itemsize
        return f"row {row} ({self.comment(row)})" if 0 <= row < len(self) else "its head or its strings"

    def comment(self, row: int) -> str:
        """A row's strings, to identify it in messages and comments."""
        return " ".join(
            str(column[row]) for value, column in self.columns.items() if self.rule.holds[value] == "string"
        )

    def _addresses(self, values: Array) -> list[Address]:
        """Addresses in the rows as section anchor and offset, for the linker."""
        number = np.searchsorted(self.section_starts, values, "right") - 1
        anchors = [self.rule.anchor(section) for section in range(len(self.section_names))]
        offsets, numbers = (values - self.section_starts[number]).tolist(), number.tolist()
        return [Address(anchors[n], offset, self.section_names[n]) for n, offset in zip(numbers, offsets, strict=True)]

    def context(self) -> dict[str, Any]:
        """The template's variables: rows (values by name, and `asm`, the fields as assembler lines) and strings."""
        pool, places = self._strings
        used = {f.value for f in self.rule.table.fields if self.rule.holds[f.value] == "address"}
        columns: dict[str, list[Any]] = {
            name: self._addresses(column) if name in used else column.tolist() for name, column in self.columns.items()
        }
        texts = [values for name, values in columns.items() if self.rule.holds[name] == "string"]
        comments = map(" ".join, zip(*texts, strict=True)) if texts else [""] * len(self)
        lines = zip(
            *(self._lines(field, columns[field.value], places) for field in self.rule.table.fields), strict=True
        )
        names = (*columns, "asm", "comment")
        rows = [
            dict(zip(names, row, strict=True))
            for row in zip(*columns.values(), map(list, lines), comments, strict=True)
        ]
        strings = [(text, list(text.encode())) for text in places]
        return {"rows": rows, "strings": strings, "row_size": self.dtype.itemsize, "pool": len(pool)}

    def _lines(self, field: Field, values: list[Any], places: dict[str, int]) -> list[str]:
        """A field of every row as an assembler line."""
        if self.rule.holds[field.value] == "string":
            return [f".long .L{self.rule.symbol}_strings + {places[value]} - ." for value in values]
        directive = DIRECTIVE[field.type[1]]
        if self.rule.holds[field.value] != "address":
            return [f"{directive} {value:#x}" for value in values]
        base = {"here": " - .", "table": f" - .L{self.rule.symbol}"}.get(field.base, "")
        return [f"{directive} {anchor} + {offset:#x}{base}" for anchor, offset, _ in values]


class RowsFormat(Format):
    name = "rows"
    contents = Rows
    has_fields = True

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Rows, dict[str, int]]:
        return rows_of(image, rule)

    def empty(self, rule: Rule, arch: Arch) -> Rows:
        kinds = {f.value: "U1" if rule.holds[f.value] == "string" else "u8" for f in rule.table.fields}
        none = {value: np.zeros(0, kind) for value, kind in kinds.items()}
        return Rows(rule, arch, 0, none, (), np.zeros(0, "u8"))

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Rows | None:
        empty = self.empty(rule, image.arch)
        head, size, end = HEAD * rule.table.head, empty.dtype.itemsize, image.address_of(f"{rule.symbol}_end")
        count = (end - at - head) // size if end is not None else -1
        if not 0 <= count <= (len(data) - head) // size:
            return None
        rows = np.frombuffer(data, empty.dtype, count, head)
        here: Array = np.arange(count, dtype="u8") * np.uint64(size) + np.uint64(at + head)
        offsets = {name: place[1] for name, place in (rows.dtype.fields or {}).items()}
        columns: dict[str, Array] = {}
        for field in rule.table.fields:
            values, holds = rows[field.name].astype("i8").astype("u8"), rule.holds[field.value]
            if holds == "string" or (holds == "address" and field.base == "here"):
                values += here + np.uint64(offsets[field.name])
            elif holds == "address" and field.base == "table":
                values += np.uint64(at)
            if holds == "string":
                starts = values - np.uint64(at)
                if (starts >= len(data)).any():
                    return None
                columns[field.value] = _decoded(data + b"\0", starts.astype("i8"))
            elif holds == "address":
                columns[field.value] = values & np.uint64(image.arch.modulus - 1)
            else:
                columns[field.value] = values.astype("i8" if field.type.startswith("i") else "u8")
        return _placed(image, rule, at, columns)

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        values = {"rule": rule, "arch": arch, "ctype": CTYPE | {"string": "int32_t"}, "word": DIRECTIVE[str(arch.word)]}
        templates = ("rows.h.j2", *(name for name in rule.table.runtime if not name.endswith(RUST)))
        return {f"{rule.symbol}{Path(Path(name).stem).suffix}": Source(name, values) for name in templates}

    def rust(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        templates = [name for name in rule.table.runtime if name.endswith(RUST)]
        if rule.table.runtime and not templates:  # these are in C
            return {}
        kind = self.empty(rule, arch).dtype
        values = {
            "rule": rule, "arch": arch, "rust_type": RUST_TYPE, "word": DIRECTIVE[str(arch.word)],
            "head": HEAD * rule.table.head, "row_size": kind.itemsize,
            "offsets": {name: place[1] for name, place in (kind.fields or {}).items()},
            "strings": [field.name for field in rule.table.fields if rule.holds[field.value] == "string"],
        }  # fmt: skip
        return {f"{rule.symbol}.rs": Source(name, values) for name in templates or ("rows.rs.j2",)}


def rows_of(image: Image, rule: Rule) -> tuple[Rows, dict[str, int]]:
    """The rows that `rule` selects from an image, and the number of ignored references. Raises BuildplugError."""
    at = address_of(image, rule)
    columns, ignored = columns_of(image, rule)
    return _placed(image, rule, at, columns), ignored


def _decoded(data: bytes, starts: Array) -> Array:
    """The strings at some offsets of `data`, which ends with a zero byte. Raises ValueError."""
    checked_lengths(np.frombuffer(data, "u1"), starts)
    names = Names(data, starts)
    b"\0".join(names.texts()).decode()  # raises
    return np.array(names.decoded(), str)


def _placed(image: Image, rule: Rule, at: int, columns: dict[str, Array]) -> Rows:
    """Rows with the sections of their addresses. Raises BuildplugError for an address outside every section."""
    used = np.zeros(0, "i8")
    for value in {f.value for f in rule.table.fields if rule.holds[f.value] == "address"}:
        homes = image.sections_at(columns[value])
        if (homes < 0).any():
            row = int(np.argmin(np.where(homes < 0, columns[value], np.iinfo("u8").max)))
            named = [f", symbol {columns[name][row]}" for name in ("name", "symbol") if name in columns]
            problem = f"rule {rule.name}{''.join(named)}: {value} {columns[value][row]:#x} lies in no section"
            raise image.bad(problem, "exclude its symbol, or mend its record")
        used = distinct(np.append(used, homes))
    starts, first = np.unique(image.addresses[used], return_index=True)
    names = tuple(image.sections.names[index] for index in used[first].tolist())
    return Rows(rule, image.arch, at, columns, names, starts)
