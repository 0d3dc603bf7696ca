"""Words that a linker script computes, by LONG() and the like: there is no relocation that says what they are."""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np

from buildplug.base.records import frozen
from buildplug.image.elf import Image
from buildplug.image.headers import PT_LOAD, SHF_EXECINSTR, STT_NOTYPE, Array
from buildplug.image.pairs import Pairs

SIZES = (8, 4)  # of a word, in bytes
ALIGNED = 4  # an address may be anywhere, but other numbers are found by chance
ROUND = 4096  # constants that scripts add, such as the address of a kernel's half of memory, are multiples


@frozen
class Explained:
    """wrong: the offset of a byte that no script explains; proved: whether it is known of all others that they are
    right."""

    wrong: int | None
    proved: bool


@frozen
class Computed:
    """The words that a script may have computed in two links."""

    pairs: Pairs

    def explained(self, pair: int, unlike: Array) -> Explained:
        """Whether a script may have computed the bytes at the offsets `unlike` of a pair of equal size.

        A word is right if in both links it is the address, link or load, of the same section's start or end or of the
        same label, or the distance of two of these. It cannot be proved if it is one of them and a multiple of ROUND
        more or less, which the script may have added. Functions and objects have no such words.
        """
        if not len(unlike):
            return Explained(None, proved=True)
        draft, final = self.pairs.draft, self.pairs.final
        before, after = self.pairs.sections(pair)
        data = [image.bytes_of(section).tobytes() for image, section in ((draft, before), (final, after))]
        end, proved = 0, True
        for at in unlike.tolist():
            if at < end:
                continue
            words = () if final.symbol_at(after, at) is not None else list(_words(data, at, draft.arch.order))
            end = next((end for end, modulus, *word in words if self._is_place(end, modulus, word)), 0)
            if not end:
                shifted = (end for end, modulus, *word in words if self._is_near(end, modulus, word))
                end = next(shifted, 0)
                proved = False
            if not end:
                return Explained(at, proved=False)
        return Explained(None, proved)

    def _is_place(self, end: int, modulus: int, word: list[int]) -> bool:
        """Whether a word, its end and its values in both links, is the same place in both, or the distance of two."""
        old, new = word
        others = self._places if end % ALIGNED == 0 else []
        known = self._known[modulus]
        return any(((old + a) % modulus, (new + b) % modulus) in known for a, b in [(0, 0), *others])

    def _is_near(self, end: int, modulus: int, word: list[int]) -> bool:
        """Whether a word changed as a place did that is a multiple of ROUND away. Small numbers are no addresses."""
        old, new = word
        if end % ALIGNED or old < ROUND:
            return False
        return (old % ROUND, (new - old) % modulus) in self._near[modulus]

    @cached_property
    def _known(self) -> dict[int, set[tuple[int, int]]]:
        """Modulus of a word -> _places, modulo that."""
        return {1 << 8 * s: {(old % (1 << 8 * s), new % (1 << 8 * s)) for old, new in self._places} for s in SIZES}

    @cached_property
    def _near(self) -> dict[int, set[tuple[int, int]]]:
        """Modulus of a word -> of each place, its offset in ROUND bytes and how far it moved."""
        return {m: {(old % ROUND, (new - old) % m) for old, new in self._places} for m in self._known}

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """The addresses, in each link, of what both have: labels, starts and ends of sections, but not of the tables,
        which no script of the user's knows. Their sizes are small numbers, as others are."""
        sides = ((self.pairs.draft, self.pairs.before), (self.pairs.final, self.pairs.after))
        found = [dict(_bounds(image, paired)) | dict(_labels(image, paired)) for image, paired in sides]
        return [(found[0][key], found[1][key]) for key in sorted(found[0].keys() & found[1].keys())]


def _words(data: list[bytes], at: int, order: Literal["little", "big"]) -> Iterator[tuple[int, int, int, int]]:
    """The words that the byte at an offset may be the first different one of: end, modulus, and value in each link."""
    for size in SIZES:
        for start in range(max(0, at - size + 1), min(at, len(data[0]) - size) + 1):
            if data[0][start:at] == data[1][start:at]:
                old, new = (int.from_bytes(each[start : start + size], order) for each in data)
                yield start + size, 1 << 8 * size, old, new


def _bounds(image: Image, paired: Array) -> Iterator[tuple[tuple[str, str], int]]:
    loads = image.segments[image.segments["type"] == PT_LOAD]
    for index in paired.tolist():
        section = image.sections[index]
        yield (section.name, "start"), section.address
        yield (section.name, "end"), section.address + section.size
        inside = (loads["vaddr"] <= section.address) & (section.address - loads["vaddr"] < loads["memsz"])
        for load in loads[inside][:1]:
            at = section.address - int(load["vaddr"]) + int(load["paddr"])
            yield (section.name, "load"), at
            yield (section.name, "load end"), at + section.size


def _labels(image: Image, paired: Array) -> Iterator[tuple[tuple[str, str], int]]:
    """Those that a script may have defined: not labels in code, of which assembly has so many that nearly every number
    is the distance of two. GNU ld counts a label behind a table to the table's section."""
    symbols, headers = image.symbols, image.headers
    inside = symbols["section"] < len(headers)
    home = np.where(inside, symbols["section"], 0)
    known = np.zeros(len(headers), bool)
    known[paired] = True
    known = known[home] | ~inside | (symbols["value"] == (headers["address"] + headers["size"])[home])
    code = (headers["flags"] & SHF_EXECINSTR != 0)[home]
    found = np.flatnonzero((symbols["type"] == STT_NOTYPE) & (symbols["bind"] != 0) & ~code & known)
    for name, value in zip(image.names_of(found), image.symbols["value"][found].tolist(), strict=True):
        yield (name, "label"), value
