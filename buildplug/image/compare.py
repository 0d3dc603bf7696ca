"""Compares two links of one kernel: are the sections other than the tables the same?

Same means same size, same content outside relocated fields, and same references; and each relocated field must hold
what its relocation says, or, where that is not known, refer to the same place in both links. Content moved within a
section is reported apart from changed content. So is what linkers make without relocations, if it cannot be proved.
Where an architecture's relocations are unknown, layout.py compares less.
"""

from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from buildplug.arch.field import REL32, Field
from buildplug.base.globs import globs
from buildplug.image import build_id, computed, layout
from buildplug.image.elf import Image
from buildplug.image.fields import mismatches
from buildplug.image.headers import (
    SHF_ALLOC,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHT_NOBITS,
    STT_GNU_IFUNC,
    STT_SECTION,
    STT_TLS,
    Array,
    Section,
)
from buildplug.image.places import same_place, same_words
from buildplug.image.symtab import among

# Linker-generated, and dependent on addresses without having relocations.
EXEMPT = (
    ".note.gnu.build-id", ".dynamic", ".dynsym", ".gnu.hash", ".hash", ".rela.dyn", ".rela.plt", ".relr.dyn", ".got*",
    ".plt*", ".iplt", ".eh_frame*", ".relro_padding", ".ARM.exidx*", ".reginfo",
)  # fmt: skip
# Of those: words that refer to places.
OF_WORDS = (".eh_frame*", ".got*")


@dataclass(frozen=True)
class Comparison:
    """Differences as text. `unproved`: sections that differ as they may, but it is not known whether they are right."""

    moved: tuple[str, ...]
    changed: tuple[str, ...]
    unproved: tuple[str, ...]
    sections: int  # how many were compared


def compare(draft: Image, final: Image, own: set[str]) -> Comparison:
    """Differences of the sections other than the tables (`own`)."""
    found = _compare(draft, final, own)
    wrong, unproved = ([], []) if final is draft else _exempt(draft, final, own)
    if found.moved or "relocations" not in final.arch.rows:  # then the words may differ in ways not known here
        return replace(found, unproved=(*unproved, *found.unproved, *wrong))
    return replace(found, unproved=(*unproved, *found.unproved), changed=(*found.changed, *wrong))


def _exempt(draft: Image, final: Image, own: set[str]) -> tuple[list[str], list[str]]:
    """Sections made by the linker without relocations that are not the same in both links: those whose words should be
    and others. The layout of what they refer to may have changed in the others."""
    exempt, of_words = globs(EXEMPT), globs(OF_WORDS)
    pair = [{s.name: s for s in _allocated(image, own) if exempt(s.name)} for image in (draft, final)]
    wrong, unproved = [], [f"{name}: only one of the links has it" for name in sorted(pair[0].keys() ^ pair[1].keys())]
    for name in sorted(pair[0].keys() & pair[1].keys()):
        before, after = (found[name] for found in pair)
        if (before.type, before.flags) != (after.type, after.flags):
            wrong.append(f"{name}: flags {before.flags:#x} became {after.flags:#x}")
        elif before.size != after.size:
            unproved.append(f"{name}: {before.size} bytes became {after.size}")
        elif not _same_bytes(draft, before, final, after) and not same_words(draft, before, final, after):
            (wrong if of_words(name) else unproved).append(f"{name}: its bytes differ")
    return wrong, unproved


def _same_bytes(draft: Image, before: Section, final: Image, after: Section) -> bool:
    """Whether two sections have the same content, but for build-ids."""
    none = np.zeros((0, 4), "i8")
    return np.array_equal(_plain(draft, before, none), _plain(final, after, none))


def _allocated(image: Image, own: set[str]) -> list[Section]:
    """The sections in memory other than the tables, by name, as anchors can change GNU ld's order."""
    found = image.sections.at(image.headers["flags"] & SHF_ALLOC != 0)
    return sorted((section for section in found if section.name not in own), key=attrgetter("name"))


def _compare(draft: Image, final: Image, own: set[str]) -> Comparison:
    exempt = globs(EXEMPT)
    columns = [[s for s in _allocated(image, own) if not exempt(s.name)] for image in (draft, final)]
    names = [[s.name for s in column] for column in columns]
    if names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1])) or ["their number"]
        return Comparison((), (f"the sections differ: {', '.join(odd)}",), (), 0)
    if "relocations" not in final.arch.rows:
        moved, changed = layout.differences(draft, final, list(zip(*columns, strict=True)))
        return Comparison(tuple(moved), tuple(changed), (), len(columns[0]))
    references = [
        {s.index: rows for s, rows in image.relocations(of={s.index for s in column})}
        for image, column in dict(zip((draft, final), columns, strict=True)).items()
    ]
    ids: dict[object, int] = {}
    identities = [_identities(*one, ids) for one in zip((draft, final), references, strict=False) if final is not draft]
    moved, changed, unproved = [], [], []
    for before, after in zip(*columns, strict=True):
        wrong = _wrong_field(final, after, references[-1].get(after.index))
        if wrong is not None:
            changed.append(f"{after.name}: the field at +{wrong:#x} does not hold what its relocation says")
        if wrong is not None or final is draft:
            continue
        keys = [
            _keyed(rows.get(section.index), numbers)
            for section, rows, numbers in zip((before, after), references, identities, strict=True)
        ]
        if not np.array_equal(keys[0], keys[1]):  # sort only if needed: usually even the order is the same
            keys = [key[np.lexsort(key.T[::-1])] for key in keys]
        rows = [of.get(section.index) for of, section in zip(references, (before, after), strict=False)]
        found, sure = _difference(draft, before, final, after, keys, rows)
        if not found and (found := _elsewhere(draft, before, final, after, rows[0], rows[-1])):
            sure = True
        if not sure:
            unproved.append(f"{after.name}: {found}")
        elif found and _only_moved(draft, before, final, after, keys):
            moved.append(f"{after.name}: {found}")
        elif found:
            changed.append(f"{after.name}: {found}")
    return Comparison(tuple(moved), tuple(changed), tuple(unproved), len(columns[0]))


def _difference(
    draft: Image, before: Section, final: Image, after: Section, keys: list[Array], rows: list[Array | None]
) -> tuple[str, bool]:
    """How two sections differ, empty if they do not, and whether that is sure to be wrong."""
    if (before.type, before.flags) != (after.type, after.flags):
        return f"flags {before.flags:#x} became {after.flags:#x}", True
    if before.size != after.size:
        return f"{before.size} bytes became {after.size}", True
    if not np.array_equal(keys[0], keys[1]):
        common = min(len(keys[0]), len(keys[1]))
        unlike = np.flatnonzero((keys[0][:common] != keys[1][:common]).any(axis=1))
        row = int(unlike[0]) if len(unlike) else common
        at = max((int(k[row, 0]) for k in keys if row < len(k)), default=0)
        names = [_referred(image, r, at) for image, r in zip((draft, final), rows, strict=True)]
        return f"its references differ from {_where(final, after, at)} on: {names[0]} became {names[1]}", True
    if before.type == SHT_NOBITS:
        return "", True
    unlike = np.flatnonzero(_plain(draft, before, keys[0]) != _plain(final, after, keys[1]))
    found = computed.explained(draft, before, final, after, unlike)
    if found.wrong is not None:
        was, now = (image.bytes_of(s)[found.wrong] for image, s in ((draft, before), (final, after)))
        return f"byte {_where(final, after, found.wrong)} was {was:#04x}, is {now:#04x}", True
    return ("", True) if found.proved else ("it has words that only the linker script explains", False)


def _where(image: Image, section: Section, at: int) -> str:
    """An offset in a section, with the symbol that the byte belongs to."""
    symbol = image.symbol_at(section, at)
    if symbol is None:
        return f"+{at:#x}"
    start = int(image.symbols["value"][symbol]) - section.address
    return f"+{at:#x} ({image.name_of(symbol)}+{at - start:#x})"


def _referred(image: Image, rows: Array | None, at: int) -> str:
    """What the references at an offset refer to."""
    found = [] if rows is None else rows[rows["offset"] == at]
    return " and ".join(f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}" for row in found) or "none"


def _plain(image: Image, section: Section, keyed: Array) -> Array:
    """The content of a section with relocated fields and build-ids zeroed."""
    content = image.bytes_of(section).copy()
    for location in build_id.locations(image, [section]):
        content[location.start - section.offset : location.end - section.offset] = 0
    for kind, field in _fields(image).items():
        offsets = keyed[keyed[:, 1] == kind, 0]
        for byte, mask in enumerate(field.mask.to_bytes(field.size, image.arch.order)):
            content[np.minimum(offsets + byte, len(content) - 1)] &= 0xFF ^ mask
    return content


def _wrong_field(image: Image, section: Section, relocations: Array | None) -> int | None:
    """The offset of the section's first field that does not hold its relocation's address; None if all do."""
    if relocations is None:
        return None
    known, wrong = _known(image, relocations), []
    for kind, field in image.arch.relocations.items():
        if image.type != "ET_EXEC" and not field.relative:
            continue  # the loader fills them in
        rows = relocations[known & (relocations["type"] == kind)]
        wrong += rows["offset"][mismatches(image, section, rows, field)].tolist()
    return min(wrong, default=None)


def _known(image: Image, relocations: Array) -> Array:
    """Whether it is known from each relocation what its field holds. References to an ifunc lead to its PLT entry."""
    sure = (image.symbols["section"] != SHN_UNDEF) & (image.symbols["type"] != STT_GNU_IFUNC)
    known: Array = sure[relocations["symbol"]] & ~among(relocations["type"], list(image.arch.relaxed))
    return known


def _elsewhere(
    draft: Image, before: Section, final: Image, after: Section, old: Array | None, new: Array | None
) -> str:  # fmt: skip
    """The fields whose content is not known from their relocations must refer to the same place in both links."""
    if old is None or new is None:
        return ""
    unsure = [~_known(image, rows) for image, rows in ((draft, old), (final, new))]
    fields = _fields(final)
    for kind, field in fields.items():
        rows = [r[u & (r["type"] == kind)] for r, u in zip((old, new), unsure, strict=True)]
        if kind in final.arch.thread:  # of an undefined symbol, linkers make an offset from no variable
            rows = [
                r[i.symbols["section"][r["symbol"]] != SHN_UNDEF] for i, r in zip((draft, final), rows, strict=True)
            ]
        rows = [r[np.argsort(r["offset"], kind="stable")] for r in rows]
        if len(rows[0]) != len(rows[1]) or not len(rows[0]):
            continue
        offsets = rows[1]["offset"]
        words = [i.words(s, r["offset"], field.size) for i, s, r in ((draft, before, rows[0]), (final, after, rows[1]))]
        same = words[0] == words[1]
        for base in (0, 1):
            addresses = []
            for section, row, word in zip((before, after), rows, words, strict=True):
                place = row["offset"] + np.uint64(section.address)
                found = field.get(word, place) - row["addend"].astype("u8") - place * np.uint64(field.relative)
                addresses.append((found + place * np.uint64(base)) & np.uint64(final.arch.modulus - 1))
            same |= same_place(draft, addresses[0], final, addresses[1])
        if not same.all():
            return f"the field at +{int(offsets[np.argmin(same)]):#x} refers to another place"
    return ""


def _fields(image: Image) -> dict[int, Field]:
    """The field of each relocation type whose bytes depend on addresses."""
    return {**image.arch.relocations, **dict.fromkeys(image.arch.thread, REL32)}


def _keyed(rows: Array | None, numbers: Array) -> Array:
    """References as rows (offset, type, number of the symbol, addend), shape (n, 4)."""
    if rows is None:
        return np.zeros((0, 4), "i8")
    columns = [rows["offset"], rows["type"], numbers[rows["symbol"]], rows["addend"]]
    return np.stack(columns, axis=1, dtype="i8", casting="unsafe")


def _identities(image: Image, references: dict[int, Array], ids: dict[object, int]) -> Array:
    """A number for each referenced symbol, shape (symbols,), equal in links that share `ids` if the symbol is the same:
    by name, and for a local one also by its place in its section."""
    numbers = np.zeros(len(image.symbols), "i8")
    used = np.unique(np.concatenate([rows["symbol"] for rows in references.values()] or [np.zeros(0, "u4")]))
    symbols = image.symbols[used]
    local = (symbols["bind"] == 0) & (symbols["type"] != STT_SECTION)
    local &= (symbols["section"] != SHN_UNDEF) & (symbols["section"] < SHN_LORESERVE)
    # section 0 has no name and address 0; the value of a thread-local symbol is already an offset
    thread, containing = symbols["type"] == STT_TLS, image.containing_sections[used]
    section = np.where(local & ~thread, containing, 0)
    addresses = image.headers["address"].astype("u8")
    offsets = np.where(local & (thread | (containing != 0)), symbols["value"] - addresses[section], 0)
    names = [image.sections[index].name for index in section.tolist()]
    keys = zip(map(image.names.__getitem__, used.tolist()), names, offsets.tolist(), strict=True)
    numbers[used] = [ids.setdefault(key, len(ids)) for key in keys]
    return numbers


def _only_moved(draft: Image, before: Section, final: Image, after: Section, keys: list[Array]) -> bool:
    """Whether parts of a section moved but are otherwise the same: compares the bytes of each symbol in both sections,
    and what the references refer to. Bytes outside symbols are not checked."""
    parts = []
    for image, section, keyed in ((draft, before, keys[0]), (final, after, keys[1])):
        content = _plain(image, section, keyed).tobytes()
        rows = image.symbols[inside := np.flatnonzero(image.symbols["section"] == section.index)]
        starts = (rows["value"] - np.uint64(section.address)).tolist()
        named = zip(inside.tolist(), starts, rows["size"].tolist(), strict=True)
        parts.append([(image.names[i], start, content[start : start + size]) for i, start, size in named])
    common = {name for name, _, _ in parts[0]} & {name for name, _, _ in parts[1]}
    places = [sorted((name, start) for name, start, _ in part if name in common) for part in parts]
    bytes_ = [sorted((name, code) for name, _, code in part if name in common) for part in parts]
    targets = [sorted(map(tuple, keyed[:, 1:].tolist())) for keyed in keys]
    return places[0] != places[1] and bytes_[0] == bytes_[1] and targets[0] == targets[1]
