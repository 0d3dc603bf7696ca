"""What a loader reads of an image, compared in two links of one kernel: the file header, the entry point, and the
program headers. Sections are what the other comparisons prove; here it is proved that just they are in memory.

Source: System V gABI, chapters 4 and 5.
"""

from collections import Counter

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import FILE, PF_X, PT_GNU_RELRO, PT_LOAD, PT_PHDR, SHF_ALLOC, Array
from buildplug.image.segments import (
    Segments,
    delta_of,
    flags_needed,
    kind,
    load_numbers,
    overlap,
    patterns_of,
    segments_of,
    stray_values,
)

PAGE = 4096
READ_ELSEWHERE = ("entry", "shoff", "phnum", "shnum", "shstrndx")  # compared below, or not read by loaders


def changed(draft: Image, final: Image, own: set[str]) -> list[str]:
    """How what a loader reads differs between two links, or contradicts the sections, as text. `own`: the sections of
    the tables. The number of segments may differ: with other alignment of load addresses, one becomes two."""
    before, after = segments_of(draft), segments_of(final)
    found = [
        f"{name} of the file header was {draft.header[name].item()!r}, is {final.header[name].item()!r}"
        for name, _ in FILE
        if name not in READ_ELSEWHERE and draft.header[name] != final.header[name]
    ]
    if not _same_entry(draft, final):
        found.append(f"the entry point was {draft.header['entry']:#x}, is {final.header['entry']:#x}")
    if final is not draft:
        same = _counterparts(before, after, own)
        found += _flags(before, after, same, own) + _moved_loads(before, after, same, own)
    return found + _places(before, after) + _contents(before, after) + _bare(before, after)


def _same_entry(draft: Image, final: Image) -> bool:
    """Whether the entry is the same place, by section and offset or by a symbol, as the linker may move code."""
    entries = [_entry(image) for image in (draft, final)]
    homes = [image.section_at(at) for image, at in zip((draft, final), entries, strict=True)]
    if homes[0] is None or homes[1] is None:
        return homes == [None, None] and entries[0] == entries[1]
    if (homes[0].name, entries[0] - homes[0].address) == (homes[1].name, entries[1] - homes[1].address):
        return True
    names = [
        {image.name_of(index) for index in np.flatnonzero(image.symbols["value"] == np.uint64(at)).tolist()}
        for image, at in zip((draft, final), entries, strict=True)
    ]
    return homes[0].size != homes[1].size and bool(names[0] & names[1])


def _entry(image: Image) -> int:
    """The address of the entry. A linker script may say where it is loaded, as that of Linux on x86_64 does."""
    entry = int(image.header["entry"])
    if image.section_at(entry) is None:
        for row in image.segments[image.segments["type"] == PT_LOAD]:
            if 0 <= entry - int(row["paddr"]) < int(row["memsz"]):
                return (entry - delta_of(row, image)) % image.arch.modulus
    return entry


def _flags(draft: Segments, final: Segments, same: Array, own: set[str]) -> list[str]:
    """Sections whose segments have other types, flags, alignments, or load addresses. `same`: _counterparts().

    Where the script names no segments, GNU ld begins one wherever a page lies between two sections, so that as a table
    grows, sections come apart or together. Other flags are right then if they are what the sections need."""
    numbers: dict[tuple[str, str, str], int] = {}
    found = []
    for one in (draft, final):
        patterns, which = patterns_of(one)
        needed = flags_needed(one, ~_named(one, own))
        loose = (one.rows["type"] == PT_LOAD) & (one.rows["flags"] == needed)
        made = []
        for pattern in map(list, patterns):
            kinds = [*map(kind, one.rows[pattern])]
            free = ["needed" if loose[n] else text for n, text in zip(pattern, kinds, strict=True)]
            aligns = (f"{align:#x}" for align in one.rows["align"][pattern].tolist())
            made.append((" ".join(kinds), " ".join(aligns), " ".join(free)))
        found.append(np.array([numbers.setdefault(each, len(numbers)) for each in made], "i8")[which])
    known = list(numbers)
    found[0] = np.append(found[0], -1)[same]  # that of its counterpart
    differences = []
    for index in np.flatnonzero((same >= 0) & (found[0] != found[1])).tolist():
        old, new = known[found[0][index]], known[found[1][index]]
        for what, was, now in zip(("segments", "segments' alignments"), old[:2], new[:2], strict=True):
            if was != now and (what != "segments" or old[2] != new[2]):
                differences.append(f"{final.names[index]}: its {what} {was or 'none'} became {now or 'none'}")
    return differences


def _counterparts(draft: Segments, final: Segments, own: set[str]) -> Array:
    """For each of the final sections the one of its name in the draft, -1 for none, and for tables."""
    if draft.names == final.names:
        found = np.arange(len(final.names))
    else:
        index = dict(zip(draft.names, range(len(draft.names)), strict=True))
        found = np.fromiter((index.get(name, -1) for name in final.names), "i8", len(final.names))
    found[_named(final, own)] = -1
    return found


def _named(one: Segments, names: set[str]) -> Array:
    """Mask of the sections that have one of these names."""
    return np.fromiter(map(names.__contains__, one.names), bool, len(one.names))


def _moved_loads(draft: Segments, final: Segments, same: Array, own: set[str]) -> list[str]:
    """Segments with another distance from link to load address, unless they follow what is loaded before them: with
    AT>, a larger table moves that."""
    deltas, loaded = zip(*map(_deltas, (draft, final)), strict=True)
    loads = (np.where(loaded[1], deltas[1], 0) + final.start) & np.uint64(final.image.arch.modulus - 1)
    order = np.argsort(loads, kind="stable")
    previous = np.zeros(len(loads), "u8")  # where what is loaded before each section ends
    previous[order[1:]] = np.maximum.accumulate((loads + final.end - final.start)[order])[:-1]
    tables = _named(final, own)
    found = []
    for number, row in enumerate(final.rows):
        held = np.flatnonzero(final.held[:, number])
        if row["type"] != PT_LOAD or not len(held):
            continue
        delta = np.uint64(delta_of(row, final.image))
        others = same[held[~tables[held]]]
        pairs = others[others >= 0]
        kept = not (loaded[0] & (deltas[0] != delta))[pairs].any()
        known = len(others) or delta in deltas[0][loaded[0]]
        first = held[np.argmin(final.start[held])]
        align = max(1, int(final.alignment[first]))
        after = int(previous[first])
        if not (kept and known) and int(loads[first]) not in (after, -(-after // align) * align):
            found.append(
                f"segment {number}: its load address is {int(row['paddr']):#x}, {final.names[first]} had another"
            )
    return found


def _deltas(one: Segments) -> tuple[Array, Array]:
    """For each section the distance from link to load address, uint64, and whether it is loaded."""
    patterns, which = patterns_of(one)
    made = [[delta_of(one.rows[i], one.image) for i in p if one.rows[i]["type"] == PT_LOAD] for p in patterns]
    first, loaded = np.array([each[0] if each else 0 for each in made], "u8"), np.array([*map(bool, made)], bool)
    return first[which], loaded[which]


def _places(draft: Segments, final: Segments) -> list[str]:
    """Segments that do not hold just their sections, each from its place in the file."""
    usual: dict[int, list[set[int]]] = {}
    for number in np.flatnonzero(draft.held.any(axis=0)).tolist():
        edges = usual.setdefault(int(draft.rows["type"][number]), [{0}, {0}, {0}])
        for known, edge in zip(edges, draft.edges(number), strict=True):
            known.add(edge)
    usual_deltas = {delta_of(row, draft.image) for row in draft.rows}
    allocated = final.image.headers["flags"] & SHF_ALLOC != 0
    places = set(final.image.headers["address"][allocated].tolist())
    found = []
    for number in np.flatnonzero(final.held.any(axis=0)).tolist():
        row, held = final.rows[number], final.held[:, number] & final.stored
        offset = final.start - np.uint64(row["vaddr"]) + np.uint64(row["offset"])
        size = final.end - np.uint64(row["vaddr"])
        for wrong, what in (
            (offset != final.offset, "another part of the file"),
            (size > np.uint64(row["filesz"]), "only a part of it"),
        ):
            if (held & wrong).any():
                found.append(f"{final.names[int(np.argmax(held & wrong))]}: segment {number} loads {what}")
        expected = usual.get(int(row["type"]), [{0}] * 3)
        odd = [edge not in those for edge, those in zip(final.edges(number), expected, strict=True)]
        # it starts with the headers, or with a section without bytes, behind which others are aligned
        odd[0] &= row["offset"] != 0 and int(row["vaddr"]) not in places
        for edge, extent in ((1, "memsz"), (2, "filesz")):  # up to a section without bytes, which may be aligned
            odd[edge] &= int(row["vaddr"]) + int(row[extent]) not in places
        if row["type"] == PT_GNU_RELRO and (int(row["vaddr"]) + int(row["memsz"])) % PAGE == 0:
            odd[1:] = [False, False]
        loads = final.rows[final.held[held][0] & (final.rows["type"] == PT_LOAD)] if held.any() else final.rows[:0]
        deltas = {delta_of(load, final.image) for load in loads} | usual_deltas
        if row["type"] != PT_LOAD and delta_of(row, final.image) not in deltas:
            found.append(f"segment {number}: its load address is not that of its sections")
        if any(odd) or (row["type"] == PT_LOAD and row["filesz"] > row["memsz"]):
            found.append(f"segment {number}: its bounds are not those of its sections")
    return found


def _contents(draft: Segments, final: Segments) -> list[str]:
    """Segments that overlap, and bytes that are loaded, but belong to no section, and do not fill a gap."""
    found = []
    if overlap(final) and not overlap(draft):
        found.append("segments overlap in memory")
    fills = {0} | {value for number in load_numbers(draft) for value in stray_values(draft, number)}
    for number in load_numbers(final):
        row = final.rows[number]
        if int(row["offset"]) + int(row["filesz"]) > len(final.image.data):
            found.append(f"segment {number}: expected {row['filesz']} bytes, found the end of the file")
            continue
        inside = final.start - np.uint64(row["vaddr"]) < np.uint64(row["filesz"])  # their sum may not fit
        inner = final.held[:, number] & ~final.stored & inside
        allowed = fills if int(row["flags"]) & PF_X and not inner.any() else {0}
        if not set(stray_values(final, number)) <= allowed:
            found.append(f"segment {number}: loads bytes that belong to no section")
    return found


def _bare(draft: Segments, final: Segments) -> list[str]:
    """Segments that hold no section in memory, such as PT_GNU_STACK, and are not as in the draft."""
    before, after = (
        Counter(_without_room(row, one.image) for row in one.rows[~one.held.any(axis=0)]) for one in (draft, final)
    )
    lost, new = before - after, after - before
    return [f"a segment of type {key[0]:#x} without sections is not as in the draft" for key in [*lost, *new]]


def _without_room(row: Array, image: Image) -> tuple[int | str, ...]:
    """The fields of a segment without sections in memory, but for the room of the program headers, whose number may
    differ. One that is a section without bytes, or not in memory, such as PT_RISCV_ATTRIBUTES, is where that is."""
    values: dict[str, int | str] = {name: int(row[name]) for name in row.dtype.names or ()}
    if values["type"] in (PT_LOAD, PT_PHDR):
        room = int(image.header["phnum"]) * int(image.header["phentsize"])
        values |= {"filesz": int(row["filesz"]) - room, "memsz": int(row["memsz"]) - room}
    else:
        sections, alloc = image.headers, image.headers["flags"] & SHF_ALLOC != 0
        same = (sections["offset"] == row["offset"]) & (sections["size"] == row["filesz"])
        same &= ~alloc | (sections["address"] == row["vaddr"])
        for section in [*image.sections.at(same)][:1]:
            values |= {"offset": section.name, "paddr": delta_of(row, image)}
            values["vaddr"] = int(row["vaddr"]) - section.address
    return tuple(values[name] for name in ("type", *sorted(values.keys() - {"type"})))
