"""Fixed-size records that a kernel's own annotations leave in sections: image -> columns.

Members are read from the linked bytes. Kept relocations add what the bytes cannot say: which of several symbols at an
address is meant, which non-allocated section holds a string, and the words that the loader of a position-independent
image fills in.
"""

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.globs import globs
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.config.select import Member, Records
from buildplug.image.elf import Image
from buildplug.image.headers import (
    SHF_ALLOC,
    SHN_UNDEF,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    STT_FILE,
    STT_FUNC,
    STT_OBJECT,
    STT_SECTION,
    Array,
    Section,
    among,
    sorting,
    within,
)
from buildplug.select.symbols import bound

LONGEST = 4095  # bytes of a string: numpy pads each to the longest


@frozen
class _Piece:
    """Contiguous records: their section, the address of the first, and the raw records, shape (records,)."""

    section: Section
    start: int
    raw: Array

    def bad(
        self, image: Image, rule: Rule, member: Member, record: int, expected: str, found: str, remedy: str = ""
    ) -> BuildplugError:  # fmt: skip
        where = f"rule {rule.name}: {self.section.name}, record {record}, member {member.name}"
        remedy = remedy or "correct the record, or the rule's members"
        return image.bad(f"{where}: expected {expected}, found {found}", remedy)


@frozen
class _Column:
    """One member of a piece's records: its values as addresses, and the symbol index of each value's relocation, -1 if
    there is none or it disagrees with the value. Shape (records,)."""

    values: Array
    symbols: Array


def records_of(image: Image, rule: Rule) -> dict[str, Array]:
    """Value -> column, shape (records,), in image order: each member, and the symbol names that fields or `sort` use.
    Raises BuildplugError."""
    if not len(image.symbols):
        raise image.bad(f"rule {rule.name}: expected symbols, found none", "do not strip the image")
    parts: dict[str, list[Array]] = {}
    pieces = _pieces(image, rule)
    every, ends = _relocations(image, pieces)
    for piece in pieces:
        relocations = every[ends[piece.section.index] : ends[piece.section.index + 1]]
        for member in rule.select_as(Records).members:
            column = _column(image, piece, member, relocations)
            found = {member.name: piece.raw[member.name] if member.holds == "number" else column.values}
            if member.holds == "string":
                found[member.name] = _strings(image, rule, piece, member, column)
            elif f"{member.name}.symbol" in rule.asked:
                found[f"{member.name}.symbol"] = _names(image, rule, piece, member, column)
            for value, part in found.items():
                parts.setdefault(value, []).append(part)
    return {value: np.concatenate(columns) for value, columns in parts.items()}


def _pieces(image: Image, rule: Rule) -> list[_Piece]:
    """The records in the rule's sections and ranges; at least one piece, possibly empty."""
    select = rule.select_as(Records)
    kinds = [f"u{image.arch.word}" if member.type == "word" else member.type for member in select.members]
    dtype = np.dtype([(m.name, image.arch.byteorder + kind) for m, kind in zip(select.members, kinds, strict=True)])
    skipped, places = globs((*select.skip, rule.section)), []
    content = ~among(image.headers["type"], (0, SHT_REL, SHT_RELA))
    for pattern in select.sections:
        found = list(image.sections.at(content & image.sections.matching((pattern,))))
        if not (found or select.optional):
            raise image.bad(
                f"rule {rule.name}: expected a section {pattern}, found none",
                "correct the rule, or say optional = true if there need not be records",
            )
        places += [(s, s.address, s.address + s.size) for s in found if not skipped(s.name)]
    for bounds in select.ranges:
        start, end = (bound(image, rule, bounds, number) for number in (0, 1))
        section = image.section_at(start) if start < end else image.sections[0]
        if section is None or start > end or (start < end and end > section.address + section.size):
            raise image.bad(f"rule {rule.name}: ranges: expected {'–'.join(bounds)} inside a section", "see nm")
        places.append((section, start, end) if start < end else (section, section.address, section.address))
    pieces = []
    for section, start, end in dict.fromkeys(places):
        if (end - start) % dtype.itemsize:
            raise image.bad(
                f"rule {rule.name}: {section.name}: expected records of {dtype.itemsize} bytes, found {end - start}",
                "correct the rule's members",
            )
        if section.type == SHT_NOBITS and end > start:
            raise image.bad(f"rule {rule.name}: {section.name}: expected records, found a section without content")
        content = image.bytes_of(section)[start - section.address : end - section.address]
        pieces.append(_Piece(section, start, np.frombuffer(content.tobytes(), dtype)))
    return pieces or [_Piece(image.sections[0], 0, np.zeros(0, dtype))]


def _relocations(image: Image, pieces: list[_Piece]) -> tuple[Array, Array]:
    """The relocations of the pieces' sections by section and offset, and where each section's begin among them, with a
    last entry for the end: shape (sections + 1,)."""
    of = np.zeros(len(image.sections), bool)
    of[[piece.section.index for piece in pieces]] = True
    found = image.relocations(of=of)
    found = found[sorting(found["offset"], found["section"])]
    return found, np.searchsorted(found["section"], np.arange(len(of) + 1))


def _column(image: Image, piece: _Piece, member: Member, relocations: Array) -> _Column:
    held, (_, first, *_) = piece.raw[member.name], dict(piece.raw.dtype.fields or {})[member.name]
    offsets = (piece.start - piece.section.address + first + piece.raw.itemsize * np.arange(len(held))).astype("u8")
    values = held.astype("i8" if held.dtype.kind == "i" else "u8").astype("u8")
    last = np.zeros(1, relocations.dtype)
    last["offset"] = np.iinfo("u8").max  # past the end of any section
    relocations = np.concatenate([relocations, last])
    nearest = relocations[np.searchsorted(relocations["offset"], offsets)]
    relocated = nearest["offset"] == offsets
    targets = image.symbols["value"][nearest["symbol"] * relocated] + nearest["addend"].astype("u8")
    if member.base == "here":
        values += np.uint64(piece.section.address) + offsets
    elif member.base == "table":
        values += np.uint64(piece.start)
    elif image.type == "ET_DYN" and piece.section.alloc:
        values = np.where((values == 0) & relocated, targets, values)
    values &= np.uint64(image.arch.modulus - 1)
    agree = relocated & (targets & np.uint64(image.arch.modulus - 1) == values)
    return _Column(values, np.where(agree, nearest["symbol"].astype("i8"), -1))


def _strings(image: Image, rule: Rule, piece: _Piece, member: Member, column: _Column) -> Array:
    """The NUL-terminated strings at a column's addresses."""
    sections = image.symbols["section"][column.symbols].astype("i8")
    known = (column.symbols >= 0) & (sections != SHN_UNDEF) & (sections < len(image.sections))
    texts: dict[tuple[int, int], str] = {}
    contents: dict[int, bytes] = {}
    homes = image.sections_at(column.values).tolist()
    places = list(zip(column.values.tolist(), np.where(known, sections, -1).tolist(), strict=True))
    for record, ((address, index), home) in enumerate(zip(places, homes, strict=True)):
        if (address, index) in texts:
            continue
        section = image.sections[index if index >= 0 else home] if index >= 0 or home >= 0 else None
        if section is None or not section.address <= address < section.address + section.size:
            found = f"{address:#x}, in no section{'' if index >= 0 else ', and no relocation'}"
            none_kept = not piece.section.alloc and (column.symbols < 0).all()
            remedy = image.arch.unloaded if none_kept else ""
            raise piece.bad(image, rule, member, record, "the address of a string", found, remedy)
        if section.type == SHT_NOBITS:
            texts[address, index] = ""
            continue
        if section.index not in contents:
            contents[section.index] = image.bytes_of(section).tobytes()
        content = contents[section.index]
        start = address - section.address
        end = content.find(0, start, start + LONGEST + 1)
        if end < 0:
            raise piece.bad(image, rule, member, record, f"a zero within {LONGEST} bytes and {section.name}", "none")
        try:
            texts[address, index] = content[start:end].decode()
        except UnicodeDecodeError:
            raise piece.bad(image, rule, member, record, "UTF-8", f"{content[start:end]!r:.60}") from None
    return np.array([texts[place] for place in places], str)


def _names(image: Image, rule: Rule, piece: _Piece, member: Member, column: _Column) -> Array:
    """The names of the symbols at a column's addresses: the relocation's own symbol, else the best one there: functions
    and objects before labels, then global before local, then the first."""
    symbols = image.symbols
    in_memory = image.headers["flags"] & SHF_ALLOC != 0
    named = (symbols["section"] < len(image.sections)) & ~among(symbols["type"], (STT_SECTION, STT_FILE))
    named &= in_memory[np.where(named, symbols["section"], 0)] & within(symbols["value"], column.values)
    label = ~among(symbols["type"], (STT_FUNC, STT_OBJECT))
    order = np.flatnonzero(named)
    order = order[sorting(symbols["bind"][order] == 0, label[order], symbols["value"][order])]
    found = np.append(order, 0)[np.searchsorted(symbols["value"][order], column.values)]
    exact = column.symbols
    found = np.where((exact >= 0) & named[exact] & (symbols["value"][exact] == column.values), exact, found)
    wrong = np.flatnonzero(~named[found] | (symbols["value"][found] != column.values))
    if len(wrong):
        address = int(column.values[wrong[0]])
        raise piece.bad(image, rule, member, int(wrong[0]), "a symbol at the address", f"none at {address:#x}")
    return np.array(image.names_of(found), str)
