"""Whether addresses in two links of one kernel are the same place."""

from itertools import count

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import Array, Section, within

WORD = 4
PIECE = 1 << 17


def same_place(draft: Image, old: Array, final: Image, new: Array) -> Array:
    """Whether each address of the draft and that of the final image, of the same shape, are equal, or in a section of
    the same name at the same offset, or of the same symbol: bool."""
    numbers: dict[str, int] = {}
    homes = [_homes(image, at, numbers) for image, at in ((draft, old), (final, new))]
    found: Array = old == new
    for home, offset in homes[0]:
        for home_now, offset_now in homes[1]:
            found |= (home == home_now) & (home >= 0) & (offset == offset_now)
    left = np.flatnonzero(~found)
    if len(left):
        found[left] = _same_symbol(draft, old[left], final, new[left])
    return found


def _homes(image: Image, addresses: Array, numbers: dict[str, int]) -> list[tuple[Array, Array]]:
    """For each address the number of a section's name in `numbers`, -1 for none, and the offset in it. An address at
    which one section ends and another starts belongs to either: two such pairs."""
    starts, ends, indices = image.by_address
    if not len(starts):
        return []
    names = map(image.sections.names.__getitem__, indices.tolist())
    of_section = np.fromiter(map(numbers.setdefault, names, count(len(numbers))), "i8", len(indices))
    found = []
    for side in ("left", "right"):
        at = np.searchsorted(starts, addresses, side) - 1
        inside = (at >= 0) & (addresses <= ends[at])
        found.append((np.where(inside, of_section[at], -1), addresses - starts[at]))
    return found


def _same_symbol(draft: Image, old: Array, final: Image, new: Array) -> Array:
    """Whether a symbol of one name is at both addresses."""
    found = within(old, draft.values) & within(new, final.values)
    at = np.flatnonzero(found)
    names: list[dict[int, set[str]]] = []
    for image, addresses in ((draft, old[at]), (final, new[at])):
        named: dict[int, set[str]] = {}
        inside = np.flatnonzero(within(image.symbols["value"], addresses))
        for name, value in zip(image.names_of(inside), image.symbols["value"][inside].tolist(), strict=True):
            named.setdefault(value, set()).add(name)
        names.append(named)
    pairs = zip(old[at].tolist(), new[at].tolist(), strict=True)
    found[at] = [bool(names[0][one] & names[1][other]) for one, other in pairs]
    return found


def same_words(draft: Image, before: Section, final: Image, after: Section) -> bool:
    """Whether two sections of equal size differ only in words that refer to the same place."""
    contents = [image.bytes_of(section) for image, section in ((draft, before), (final, after))]
    places = np.flatnonzero(contents[0] != contents[1])
    pieces = np.array_split(places, 1 + len(places) // PIECE)  # to take little memory
    homes = [[np.full(len(piece), section.index) for section in (before, after)] for piece in pieces]
    return not any(len(unexplained(draft, b, final, a, at)) for (b, a), at in zip(homes, pieces, strict=True))


def unexplained(draft: Image, before: Array, final: Image, after: Array, offsets: Array) -> Array:
    """Of bytes at offsets in sections, by the sections' indices in each link, shape (n,): the indices of those that are
    in no word that refers to the same place in both links. Such are aligned words that hold its address, and 32-bit
    ones, wherever they are, that hold it or its distance from the section, the word, or the end of an instruction."""
    left = _left(draft, before, final, after, offsets, np.arange(len(offsets)), offsets % draft.arch.word, 0)
    for back in range(WORD):
        left = _left(draft, before, final, after, offsets, left, np.full(len(offsets), back), WORD)
    return left


def _left(
    draft: Image, before: Array, final: Image, after: Array, offsets: Array, left: Array, back: Array, size: int
) -> Array:
    """Those of the bytes `left` that are in no such word of `size` bytes, or, for 0, of an address, that begins `back`
    bytes before."""
    starts = (offsets - back)[left]
    width = size or draft.arch.word
    inside = (starts >= 0) & (starts + width <= draft.contents[1].astype("i8")[before[left]])
    at, starts = left[inside], starts[inside]
    bases = []
    for image, homes in ((draft, before[at]), (final, after[at])):
        value = image.words(homes, starts, width)
        value = value.astype("u4").view("i4").astype("i8").astype("u8") if size else value
        own, mask = image.addresses[homes], np.uint64(image.arch.modulus - 1)
        place = own + starts.astype("u8")
        among = (0, own, place, *(place + np.uint64(WORD + rest) for rest in (0, 1, 2, 4))) if size else (0,)
        bases.append([value + base & mask for base in among])
    good = np.zeros(len(at), bool)
    for one, other in zip(*bases, strict=True):
        open_ = np.flatnonzero(~good)
        good[open_] = same_place(draft, one[open_], final, other[open_])
    return left.compress(~within(left, at[good]))
