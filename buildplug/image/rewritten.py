"""What linkers make of instructions whose relocations they keep: other instructions, and branches to copies.

Only for architectures whose instructions need no decoder (Arch.instruction).
"""

import numpy as np

from buildplug.arch.field import ALL, Field
from buildplug.arch.form import JUMP
from buildplug.image.elf import Image
from buildplug.image.headers import Array, Section, distinct, sorting, within
from buildplug.image.places import same_place
from buildplug.image.veneers import destinations
from buildplug.image.words import address_in, has_form


def copies(image: Image, kind: int, sections: Array, offsets: Array) -> tuple[Array, Array, Array]:
    """Of relocations of a type, by their places: the indices of those whose instruction is a linker's branch to a copy
    of it, with a branch back behind it; the addresses of the copies, and their words."""
    size = np.uint64(image.arch.instruction)
    found = [(np.zeros(0, "i8"), np.zeros(0, "u8"), np.zeros(0, "u8"))]
    for form in (form for form in image.arch.made.get(kind, ()) if form.kind is JUMP):
        jump = image.arch.direct[True]
        at = np.flatnonzero(has_form(image, sections, offsets, form))
        addresses = address_in(image, sections[at], offsets[at], jump)
        homes = image.sections_at(addresses)
        at, addresses, homes = at[homes >= 0], addresses[homes >= 0], homes[homes >= 0]
        places = addresses - image.addresses[homes]
        back = address_in(image, homes, places + size, jump) - size
        words, good = image.words(homes, places, int(size)), has_form(image, homes, places + size, jump)
        good &= is_copied(image, words) & (back == image.addresses[sections[at]] + offsets[at])
        found.append((at[good], addresses[good], words[good]))
    at, addresses, words = (np.concatenate(column) for column in zip(*found, strict=True))
    return at, addresses, words


def is_copied(image: Image, words: Array) -> Array:
    """Whether linkers may copy these instructions elsewhere, bool, shape as words."""
    word, mask = image.arch.copied
    found: Array = words & np.uint64(mask) == word
    return found


def same_copies(draft: Image, before: Section, final: Image, after: Section, unlike: Array, rows: Array) -> Array:
    """Whether each of the offsets `unlike`, whose bytes differ in a section of two links, is in a linker's copy of an
    instruction, which differs in its field alone and has a branch back behind it to the same place, behind an
    instruction that may be copied; bool, shape as unlike. A copy is reached by a branch, where it is known what it must
    hold, or is in no symbol: GNU ld makes some that nothing reaches. `rows`: the final section's relocations, (offset,
    type, …), shape (n, …)."""
    jump, size, arch = final.arch.direct[True], final.arch.instruction, final.arch
    starts = distinct(unlike // size * size)
    starts = starts[(starts + 2 * size <= before.size) & after.executable]
    words, backs, good = [], [], np.ones(len(starts), bool)
    for image, section in ((draft, before), (final, after)):
        homes, behind = np.full(len(starts), section.index), (starts + size).astype("u8")
        words.append(image.words(homes, starts.astype("u8"), size))
        good &= has_form(image, homes, behind, jump) & is_copied(image, words[-1])
        backs.append(address_in(image, homes, behind, jump))
    good &= same_place(draft, backs[0], final, backs[1])
    reached, alike = [np.zeros(0, "u8")], np.zeros(len(starts), bool)
    for kind in (kind for kind, forms in arch.made.items() if any(form.kind is JUMP for form in forms)):
        offsets = rows[rows[:, 1] == kind, 0].astype("u8")
        reached.append(copies(final, kind, np.full(len(offsets), after.index), offsets)[1])
        own = within(backs[1] - np.uint64(size), offsets + np.uint64(after.address))
        alike |= own & ((words[0] ^ words[1]) & np.uint64(0xFFFFFFFF ^ arch.relocations[kind].mask) == 0)
    addresses = starts.astype("u8") + np.uint64(after.address)
    symbols = final.symbols[final.symbols_of(after.index)]
    symbols = symbols[symbols["size"] > 0]
    symbols = symbols[sorting(symbols["value"])]
    ends = np.maximum.accumulate(np.append(np.uint64(0), symbols["value"] + symbols["size"]))
    apart = ends[np.searchsorted(symbols["value"], addresses, "right")] <= addresses
    starts = starts[good & alike & (within(addresses, distinct(np.concatenate(reached))) | apart)]
    return within(unlike, (starts[:, None] + np.arange(size)).ravel())


def is_made(image: Image, relocations: Array, field: Field, expected: Array) -> Array:
    """Whether the instruction of each relocation, all of one field, is what a linker may make of one that refers to the
    expected address; bool, shape as relocations. Of branches by way of a veneer, too."""
    made = np.zeros(len(relocations), bool)
    whole = expected & np.uint64(ALL - field.step + 1)
    sections, offsets = relocations["section"], relocations["offset"].astype("u8")
    for kind in distinct(relocations["type"]).tolist() if len(made) else ():
        for form in image.arch.made.get(kind, ()):
            at = np.flatnonzero(relocations["type"] == kind)
            at = at[has_form(image, sections[at], offsets[at], form)]
            address = address_in(image, sections[at], offsets[at], form)
            made[at] |= (address == whole[at]) | (form.field.modulus == 1 and form.kind is not JUMP)
        at = np.flatnonzero(relocations["type"] == kind)
        index, addresses, words = copies(image, kind, sections[at], offsets[at])
        made[at[index]] |= field.holds(words, addresses, expected[at[index]], image.arch.bits)
    branches = (form for form in image.arch.direct.values() if form.field == field) if image.arch.veneers else ()
    for form in branches:
        at = np.flatnonzero(~made & has_form(image, sections, offsets, form))
        made[at] = destinations(image, address_in(image, sections[at], offsets[at], form)) == expected[at]
    return made


def exchanged(draft: Image, rows: Array, final: Image, sections: Array, fields: dict[int, Field]) -> Array:
    """Whether the instruction at each relocation of the draft differs from that of the final image, whose section has
    the index in `sections`, because a linker made another of it in one of the links, or the same with another address.
    What it writes must be the same, and a copy the same but for its field; bool, shape as rows."""
    found = np.zeros(len(rows), bool)
    for kind, forms in final.arch.made.items():
        at = np.flatnonzero(rows["type"] == kind)
        offsets, homes = rows["offset"][at], (rows["section"][at], sections[at])
        words = [image.words(home, offsets, 4) for image, home in zip((draft, final), homes, strict=True)]
        other = np.uint64(0xFFFFFFFF ^ fields[kind].mask)
        differ = (words[0] ^ words[1]) & other != 0
        at, offsets, words = at[differ], offsets[differ].astype("u8"), [word[differ] for word in words]
        made, same, away = np.zeros((3, len(at)), bool)
        whole = [word.copy() for word in words]
        for number, (image, home) in enumerate(zip((draft, final), homes, strict=True)):
            for form in (form for form in forms if form.kind is not JUMP):
                match = has_form(image, home[differ], offsets, form)
                made |= match
                same |= match & (form.field.modulus == 1)
            index, _, copied = copies(image, kind, home[differ], offsets)
            whole[number][index], away[index] = copied, True
        same |= away & ((whole[0] ^ whole[1]) & other == 0)
        made[away] = same[away]
        found[at] = made & (same | ((words[0] ^ words[1]) & np.uint64(final.arch.written) == 0))
    return found
