"""Words that a linker script computes, by LONG() and the like: there is no relocation that says what they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import PT_LOAD, SHF_ALLOC, SHF_EXECINSTR, STT_NOTYPE, Array, Section

SIZES = (8, 4)  # of a word, in bytes
ROUND = 4096  # constants that scripts add, such as the address of a kernel's half of memory, are multiples


@dataclass(frozen=True)
class Explained:
    """wrong: the offset of a byte that no script explains; proved: whether it is known of all others that they are
    right."""

    wrong: int | None
    proved: bool


def explained(draft: Image, before: Section, final: Image, after: Section, unlike: Array) -> Explained:
    """Whether a script may have computed the bytes at the offsets `unlike` of two sections of equal size.

    A word is right if in both links it is the address, link or load, of the same section's start or end or of the same
    label, or the distance of two of these. It cannot be proved if it is one of them and a multiple of ROUND more or
    less, which the script may have added. Functions and objects have no such words.
    """
    if not len(unlike):
        return Explained(None, proved=True)
    places = list(zip(*_places(draft, final), strict=True))
    known = {1 << 8 * size: {(old % (1 << 8 * size), new % (1 << 8 * size)) for old, new in places} for size in SIZES}
    near = {modulus: {(old % ROUND, (new - old) % modulus) for old, new in places} for modulus in known}
    data = [image.bytes_of(section).tobytes() for image, section in ((draft, before), (final, after))]
    end, proved = 0, True
    for at in unlike.tolist():
        if at < end:
            continue
        words = () if final.symbol_at(after, at) is not None else list(_words(data, at, draft.arch.order))
        end = next((end for end, modulus, *word in words if _is_place(word, modulus, places, known[modulus])), 0)
        if not end:
            shifted = (end for end, bits, old, new in words if (old % ROUND, (new - old) % bits) in near[bits])
            end = next(shifted, 0)
            proved = False
        if not end:
            return Explained(at, proved=False)
    return Explained(None, proved)


def _words(data: list[bytes], at: int, order: Literal["little", "big"]) -> Iterator[tuple[int, int, int, int]]:
    """The words that the byte at an offset may be the first different one of: end, modulus, and value in each link."""
    for size in SIZES:
        for start in range(max(0, at - size + 1), min(at, len(data[0]) - size) + 1):
            if data[0][start:at] == data[1][start:at]:
                old, new = (int.from_bytes(each[start : start + size], order) for each in data)
                yield start + size, 1 << 8 * size, old, new


def _is_place(word: list[int], modulus: int, places: list[tuple[int, int]], known: set[tuple[int, int]]) -> bool:
    """Whether a word, its values in both links, is the same place in both, or the distance of two."""
    old, new = word
    return any(((old + a) % modulus, (new + b) % modulus) in known for a, b in [(0, 0), *places])


@lru_cache(maxsize=1)  # for all sections of two images
def _places(draft: Image, final: Image) -> tuple[list[int], list[int]]:
    """The addresses, in each link, of what both have: labels, starts and ends of sections."""
    found = [dict(_bounds(image)) | dict(_labels(image)) for image in (draft, final)]
    both = sorted(found[0].keys() & found[1].keys())
    return [found[0][key] for key in both], [found[1][key] for key in both]


def _bounds(image: Image) -> Iterator[tuple[tuple[str, str], int]]:
    loads = image.segments[image.segments["type"] == PT_LOAD]
    for section in image.sections.at(image.headers["flags"] & SHF_ALLOC != 0):
        yield (section.name, "start"), section.address
        yield (section.name, "end"), section.address + section.size
        inside = (loads["vaddr"] <= section.address) & (section.address - loads["vaddr"] < loads["memsz"])
        for load in loads[inside][:1]:
            at = section.address - int(load["vaddr"]) + int(load["paddr"])
            yield (section.name, "load"), at
            yield (section.name, "load end"), at + section.size


def _labels(image: Image) -> Iterator[tuple[tuple[str, str], int]]:
    """Those that a script may have defined: not labels in code, of which assembly has so many that nearly every number
    is the distance of two."""
    symbols, code = image.symbols, image.headers["flags"] & SHF_EXECINSTR != 0
    home = np.where(symbols["section"] < len(code), symbols["section"], 0)
    found = np.flatnonzero((symbols["type"] == STT_NOTYPE) & (symbols["bind"] != 0) & ~code[home])
    for name, value in zip(image.names_of(found), image.symbols["value"][found].tolist(), strict=True):
        yield (name, "label"), value
