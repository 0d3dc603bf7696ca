"""Compares two links of one kernel: are the sections other than the tables the same?

Same means same size, same content outside relocated fields, and same references; and each relocated field must hold
what its relocation says, or, where that is not known, refer to the same place in both links. Content moved within a
section is reported apart from changed content. So is what linkers make without relocations, if it cannot be proved.
Where there are no relocations, or an architecture's are unknown, layout.py compares less.
"""

from dataclasses import replace
from itertools import chain

import numpy as np

from buildplug.arch.field import ABS32, REL32, Field
from buildplug.base.globs import globs
from buildplug.base.records import frozen
from buildplug.image import build_id, layout
from buildplug.image.computed import Computed
from buildplug.image.elf import Image
from buildplug.image.fields import mismatches
from buildplug.image.headers import SHN_UNDEF, SHT_NOBITS, STT_GNU_IFUNC, Array, Section, among, sorting, within
from buildplug.image.keys import Keys
from buildplug.image.pairs import Pairs, allocated, clear, masks
from buildplug.image.places import same_place, same_words
from buildplug.image.rewritten import exchanged, same_copies
from buildplug.image.veneers import are_veneers, is_filler, same_veneers
from buildplug.native import loops

# Linker-generated, and dependent on addresses without having relocations.
EXEMPT = (
    ".note.gnu.build-id", ".dynamic", ".dynsym", ".gnu.hash", ".hash", ".rela.dyn", ".rela.plt", ".relr.dyn", ".got*",
    ".plt*", ".iplt", ".eh_frame*", ".relro_padding", ".ARM.exidx*", ".reginfo",
)  # fmt: skip
# Of those: words that refer to places.
OF_WORDS = (".eh_frame*", ".got*")
MADE = 0xFFFFFFFF  # in place of an r_type: of an instruction that the linker made of another


@frozen
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
    if found.moved or not final.arch.compared:  # then the words may differ in ways not known here
        return replace(found, unproved=(*unproved, *found.unproved, *wrong))
    return replace(found, unproved=(*unproved, *found.unproved), changed=(*found.changed, *wrong))


def _exempt(draft: Image, final: Image, own: set[str]) -> tuple[list[str], list[str]]:
    """Sections made by the linker without relocations that are not the same in both links: those whose words should be
    and others. The layout of what they refer to may have changed in the others."""
    of_words, pair = globs(OF_WORDS), []
    for image in (draft, final):
        found = map(image.sections.__getitem__, allocated(image, own, matching=EXEMPT).tolist())
        pair.append({section.name: section for section in found})
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
    none = np.zeros(0, "i8")
    return np.array_equal(_plain(draft, before, none, none), _plain(final, after, none, none))


def _compare(draft: Image, final: Image, own: set[str]) -> Comparison:
    indices = [allocated(image, own, but=EXEMPT) for image in (draft, final)]
    names = [[image.sections.names[i] for i in n.tolist()] for image, n in zip((draft, final), indices, strict=True)]
    if names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1])) or ["their number"]
        return Comparison((), (f"the sections differ: {', '.join(odd)}",), (), 0)
    pairs = Pairs(draft, final, *indices)
    if draft.has_relocations != final.has_relocations:
        which = "draft" if draft.has_relocations else "final image"
        return Comparison((), (f"only the {which} has relocations",), (), len(pairs))
    if not final.arch.compared or not final.has_relocations:
        differences = ([], [], []) if final is draft else layout.differences(pairs)
        moved, changed, unproved = map(list, differences)
        return Comparison(tuple(moved), tuple(changed), tuple(unproved), len(pairs))
    after = _doubtful(final, indices[1]) if final is draft else _references(final, indices[1])
    wrong = _wrong_fields(pairs, after)
    changed = [
        f"{pairs.name(pair)}: the field at +{wrong[pair]:#x} does not hold what its relocation says"
        for pair in np.flatnonzero(wrong >= 0).tolist()
    ]
    if final is draft:
        return Comparison((), tuple(changed), (), len(pairs))
    before = _references(draft, indices[0])
    keys = Keys(pairs, before, after)
    masked, fields = _masked(pairs, before)
    unlike, (elsewhere, halves) = pairs.unlike(masked, fields), _elsewhere(pairs, before, after)
    made = masked[masked["type"] == MADE]
    sizes, sizes_now = pairs.columns("size")
    suspect = pairs.of_other_kind | (sizes != sizes_now) | keys.differ | (unlike >= 0) | (elsewhere >= 0)
    moved, unproved, words = list[str](), list[str](), Computed(pairs)
    for pair in np.flatnonzero(suspect & (wrong < 0)).tolist():
        found, sure = _difference(pairs, keys, words, pair, made)
        if not found and elsewhere[pair] >= 0:
            found = f"the field at +{elsewhere[pair]:#x} refers to another place"
        if not sure and elsewhere[pair] < 0:
            unproved.append(f"{pairs.name(pair)}: {found}")
        elif found:
            (moved if _only_moved(pairs, keys, pair) else changed).append(f"{pairs.name(pair)}: {found}")
    for pair in np.flatnonzero((halves >= 0) & (wrong < 0)).tolist():
        unproved.append(f"{pairs.name(pair)}: the field at +{halves[pair]:#x} is a part of an address in the GOT")
    return Comparison(tuple(moved), tuple(changed), tuple(unproved), len(pairs))


def _references(image: Image, sections: Array) -> Array:
    """The relocations of the sections with these indices."""
    return image.relocations(of=_mask(image, sections))


def _doubtful(image: Image, sections: Array) -> Array:
    """Those of them whose fields may not hold what they say, with few others: all that _wrong_fields() looks for."""
    kinds = np.zeros(max(image.arch.relocations) + 1, "u1")
    for kind, field in _checked(image).items():
        kinds[kind] = field.size | loops.RELATIVE * field.relative if field.whole else loops.UNKNOWN
    return image.doubtful(_mask(image, sections), _sure(image), kinds)


def _mask(image: Image, sections: Array) -> Array:
    of = np.zeros(len(image.sections), bool)
    of[sections] = True
    return of


def _difference(pairs: Pairs, keys: Keys, words: Computed, pair: int, made: Array) -> tuple[str, bool]:
    """How a pair differs, empty if it does not, and whether that is sure to be wrong. `made`: relocations of the draft
    whose instructions may differ."""
    before, after = pairs.sections(pair)
    if (before.type, before.flags) != (after.type, after.flags):
        return f"flags {before.flags:#x} became {after.flags:#x}", True
    if before.size != after.size:
        return f"{before.size} bytes became {after.size}", True
    if keys.differ[pair]:
        at = keys.first(pair)
        names = keys.referred(pair, at)
        return f"its references differ from {pairs.place(pair, at)} on: {names[0]} became {names[1]}", True
    if before.type == SHT_NOBITS:
        return "", True
    sides = zip((pairs.draft, pairs.final), (before, after), keys.of(pair), strict=True)
    contents = [_plain(image, section, rows[:, 0], rows[:, 1]) for image, section, rows in sides]
    unlike = np.flatnonzero(contents[0] != contents[1])
    places = made["offset"][made["section"] == before.index].astype("i8")
    unlike = unlike[~within(unlike, (places[:, None] + np.arange(ABS32.size)).ravel())]
    if len(unlike) and pairs.final.arch.veneers:
        unlike = unlike[~same_veneers(pairs.draft, before, pairs.final, after, unlike)]
        unlike = unlike[~same_copies(pairs.draft, before, pairs.final, after, unlike, keys.of(pair)[1])]
    found = words.explained(pair, unlike)
    if found.wrong is not None:
        return pairs.byte(pair, found.wrong), True
    return ("", True) if found.proved else ("it has words that only the linker script explains", False)


def _plain(image: Image, section: Section, offsets: Array, types: Array) -> Array:
    """The content of a section with relocated fields and build-ids zeroed."""
    content = image.bytes_of(section).copy()
    for location in build_id.locations(image, section):
        content[location.start - section.offset : location.end - section.offset] = 0
    clear(content, offsets, types, masks(image.arch, _fields(image)))
    return content


def _wrong_fields(pairs: Pairs, relocations: Array) -> Array:
    """The offset of each final section's first field that does not hold its relocation's address, -1 for none."""
    image, first = pairs.final, np.full(len(pairs), -1)
    known = _known(image, relocations)
    for kind, field in _checked(image).items():
        rows = relocations.compress(known & (relocations["type"] == kind))
        _note(first, pairs, rows.compress(mismatches(image, rows, field)))
    return first


def _checked(image: Image) -> dict[int, Field]:
    """The relocation types whose fields hold what their symbols and addends say; the loader fills in the others."""
    known = {kind: field for kind, field in image.arch.relocations.items() if kind not in image.arch.relaxed}
    return {kind: field for kind, field in known.items() if image.type == "ET_EXEC" or field.relative}


def _note(first: Array, pairs: Pairs, wrong: Array) -> None:
    """Notes in `first`, by pair, the lowest offset of each section's wrong relocations, of the final image."""
    limit = np.where(first < 0, np.iinfo("i8").max, first)
    numbers = pairs.numbers(pairs.final, wrong["section"])
    np.minimum.at(limit, numbers, wrong["offset"].astype("i8"))
    first[numbers] = limit[numbers]


def _known(image: Image, relocations: Array) -> Array:
    """Whether it is known from each relocation what its field holds."""
    known: Array = _sure(image)[relocations["symbol"]] & ~among(relocations["type"], list(image.arch.relaxed))
    return known


def _sure(image: Image) -> Array:
    """Whether a field is known to hold the address of each symbol. References to an ifunc lead to its PLT entry."""
    sure: Array = (image.symbols["section"] != SHN_UNDEF) & (image.symbols["type"] != STT_GNU_IFUNC)
    return sure


def _elsewhere(pairs: Pairs, before: Array, after: Array) -> tuple[Array, Array]:
    """The offset of each pair's first field that refers to another place in one link than in the other, -1 for none,
    of the fields whose content is not known from their relocations; and of the first one that differs and holds only a
    part of an address, so that its place is not known."""
    first, halves, images = np.full(len(pairs), -1), np.full(len(pairs), -1), (pairs.draft, pairs.final)
    unsure = [rows.compress(~_known(image, rows)) for image, rows in zip(images, (before, after), strict=True)]
    for kind, field in _fields(pairs.final).items():
        rows = [each.compress(each["type"] == kind) for each in unsure]
        if kind in pairs.final.arch.thread:  # of an undefined symbol, linkers make an offset from no variable
            defined = [i.symbols["section"][r["symbol"]] != SHN_UNDEF for i, r in zip(images, rows, strict=True)]
            rows = [r.compress(mask) for r, mask in zip(rows, defined, strict=True)]
        numbers = [pairs.numbers(i, r["section"]) for i, r in zip(images, rows, strict=True)]
        counts = [np.bincount(n, minlength=len(pairs)) for n in numbers]
        orders = [sorting(r["offset"], n) for r, n in zip(rows, numbers, strict=True)]
        orders = [o[(counts[0] == counts[1])[n[o]]] for o, n in zip(orders, numbers, strict=True)]
        rows = [r.take(o) for r, o in zip(rows, orders, strict=True)]
        if not len(rows[1]):
            continue
        words = [i.words(r["section"], r["offset"], field.size) for i, r in zip(images, rows, strict=True)]
        same = words[0] == words[1]
        if field.partial:
            _note(halves, pairs, rows[1].compress(~same))
            continue
        for base in (0, 1):
            addresses = []
            for image, row, word in zip(images, rows, words, strict=True):
                place = row["offset"] + image.addresses[row["section"]]
                found = field.get(word, place) - row["addend"].astype("u8") - place * np.uint64(field.relative)
                addresses.append((found + place * np.uint64(base)) & np.uint64(image.arch.modulus - 1))
            same |= same_place(pairs.draft, addresses[0], pairs.final, addresses[1])
        _note(first, pairs, rows[1].compress(~same))
    return first, halves


def _fields(image: Image) -> dict[int, Field]:
    """The field of each relocation type whose bytes depend on addresses."""
    return {**image.arch.relocations, **dict.fromkeys(image.arch.thread, REL32)}


def _masked(pairs: Pairs, before: Array) -> tuple[Array, dict[int, Field]]:
    """The draft's relocations, and the bits of each type that may differ: all of an instruction that the linker made
    another of in one of the links."""
    fields = _fields(pairs.final)
    if not pairs.final.arch.made:
        return before, fields
    rows = before.copy()
    sections = pairs.after[pairs.numbers(pairs.draft, rows["section"])]
    rows["type"][exchanged(pairs.draft, rows, pairs.final, sections, fields)] = MADE
    return rows, fields | {MADE: ABS32}


def _only_moved(pairs: Pairs, keys: Keys, pair: int) -> bool:
    """Whether parts of a section moved, or the linker added veneers, but it is otherwise the same: compares the bytes
    of each symbol in both sections, and what the references refer to. Bytes outside symbols are only checked in front
    of veneers, if nothing moved."""
    contents, parts, images = list[bytes](), [], (pairs.draft, pairs.final)
    for image, section, keyed in zip(images, pairs.sections(pair), keys.of(pair), strict=True):
        contents.append(_plain(image, section, keyed[:, 0], keyed[:, 1]).tobytes())
        own = image.symbols_of(section.index)  # not all are inside of what is left of a section without its start
        inside = own[image.symbols["value"][own] - np.uint64(section.address) <= np.uint64(section.size)]
        for mark in image.arch.marks if image.arch.veneers else ():  # veneers have some
            inside = inside[~within(inside, image.with_prefix(mark))]
        rows = image.symbols[inside]
        starts = (rows["value"] - np.uint64(section.address)).tolist()
        named = zip(image.names_of(inside), starts, rows["size"].tolist(), strict=True)
        parts.append([(name, start, contents[-1][start : start + size]) for name, start, size in named])
    common = {name for name, _, _ in parts[0]} & {name for name, _, _ in parts[1]}
    places = [sorted((name, start) for name, start, _ in part if name in common) for part in parts]
    bytes_ = [sorted((name, code) for name, _, code in part if name in common) for part in parts]
    targets = [sorted(map(tuple, keyed[:, 1:].tolist())) for keyed in keys.of(pair)]
    same = bytes_[0] == bytes_[1] and targets[0] == targets[1]
    added = [[(start, code) for name, start, code in part if name not in common and code] for part in parts]
    if not same or not pairs.final.arch.veneers or not any(added):
        return same and places[0] != places[1]
    if not all(map(are_veneers, images, pairs.sections(pair), added)):
        return False
    first = min(*map(len, contents), *(start for start, _ in chain(*added)))
    known = [[(start, code) for _, start, code in part] for part in parts]
    return places[0] != places[1] or (
        contents[0][:first] == contents[1][:first] and all(map(is_filler, images, contents, [first] * 2, known))
    )
