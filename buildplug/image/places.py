"""Whether addresses in two links of one kernel are the same place."""

from itertools import count

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import Array, Section

WORD = 4
PIECE = 1 << 17


def same_place(draft: Image, old: Array, final: Image, new: Array) -> Array:
    """Whether each address of the draft and that of the final image, of the same shape, are equal, or in a section of
    the same name at the same offset, or of the same symbol: bool."""
    numbers: dict[str, int] = {}
    (home, offset), (home_now, offset_now) = (_homes(i, at, numbers) for i, at in ((draft, old), (final, new)))
    found: Array = (old == new) | ((home == home_now) & (home >= 0) & (offset == offset_now))
    left = np.flatnonzero(~found)
    if len(left):
        found[left] = _same_symbol(draft, old[left], final, new[left])
    return found


def _homes(image: Image, addresses: Array, numbers: dict[str, int]) -> tuple[Array, Array]:
    """For each address the number of a section's name in `numbers`, -1 for none, and the offset in it. The end of a
    section belongs to it unless another one starts there."""
    starts, ends, indices = image.by_address
    if not len(starts):
        return np.full(len(addresses), -1), np.zeros(len(addresses), "u8")
    names = map(image.sections.names.__getitem__, indices.tolist())
    of_section = np.fromiter(map(numbers.setdefault, names, count(len(numbers))), "i8", len(indices))
    at = np.searchsorted(starts, addresses, "right") - 1
    inside = (at >= 0) & (addresses <= ends[at])
    return np.where(inside, of_section[at], -1), addresses - starts[at]


def _same_symbol(draft: Image, old: Array, final: Image, new: Array) -> Array:
    """Whether a symbol of one name is at both addresses."""
    names: list[dict[int, set[str]]] = []
    for image, addresses in ((draft, old), (final, new)):
        at: dict[int, set[str]] = {}
        for index in np.flatnonzero(np.isin(image.symbols["value"], addresses)).tolist():
            at.setdefault(int(image.symbols["value"][index]), set()).add(image.name_of(index))
        names.append(at)
    pairs = zip(old.tolist(), new.tolist(), strict=True)
    return np.array([bool(names[0].get(a, set()) & names[1].get(b, set())) for a, b in pairs], bool)


def same_words(draft: Image, before: Section, final: Image, after: Section) -> bool:
    """Whether two sections of equal size differ only in words that refer to the same place: aligned ones by its
    address, and 32-bit ones, wherever they are, by its distance from the word or from the section, too."""
    contents = [image.bytes_of(section) for image, section in ((draft, before), (final, after))]
    places = np.flatnonzero(contents[0] != contents[1])
    pieces = np.array_split(places, 1 + len(places) // PIECE)  # to take little memory
    return all(_explained(draft, before, final, after, piece) for piece in pieces)


def _explained(draft: Image, before: Section, final: Image, after: Section, places: Array) -> bool:
    """Whether the bytes at these offsets differ for such words."""
    word, left = draft.arch.word, places
    starts = np.unique(left // word) * word
    old, new = (image.words(section.index, starts, word) for image, section in ((draft, before), (final, after)))
    left = _outside(left, starts[same_place(draft, old, final, new)], word)
    starts = np.unique((left[:, None] - np.arange(WORD)).ravel())  # it begins at most 3 bytes before
    starts = starts[(starts >= 0) & (starts <= before.size - WORD)]
    addresses = []
    for image, section in ((draft, before), (final, after)):
        value = image.words(section.index, starts, WORD).astype("u4").view("i4").astype("i8").astype("u8")
        own, mask = np.uint64(section.address), np.uint64(image.arch.modulus - 1)
        addresses.append([each & mask for each in (value, value + own, value + own + starts.astype("u8"))])
    for one, other in zip(*addresses, strict=True):
        left = _outside(left, starts[same_place(draft, one, final, other)], WORD)
    return not len(left)


def _outside(places: Array, starts: Array, size: int) -> Array:
    """The places that are in no word from `starts` on, which ascend."""
    nearest = np.searchsorted(starts, places, "right") - 1
    inside = (nearest >= 0) & (places - np.append(starts, 0)[nearest] < size)
    found: Array = places[~inside]
    return found
