"""The build-id of an image: how its linker made it of the bytes, so that bytes changed later get theirs.

No linker documents that, so nothing is taken for granted: a way counts only if it makes the id that the linker has
left. Known are those of GNU ld, mold, and lld but for its `fast`. The note's form is that of the gABI, "Note Section".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any

from blake3 import blake3

from buildplug.image import strip
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, SHT_NOBITS, SHT_NOTE, SHT_STRTAB, SHT_SYMTAB, Section

# A note with a build-id, up to the id, whose length is in it: it may stand among other notes.
NOTE = re.compile(rb"\x04\0{3}(.)\0{3}\x03\0{3}GNU\0", re.DOTALL)
MIB = 1 << 20

Hash = Callable[..., Any]
Way = Callable[[bytearray, Image, "Place"], bytes]  # of a file's bytes, which it may change


@dataclass(frozen=True)
class Place:
    """Where a build-id is in the file: offsets in bytes."""

    note: int
    start: int
    end: int


def places(image: Image, sections: Iterable[Section]) -> Iterator[Place]:
    """The build-ids in sections of an image: one in all, unless inputs had some."""
    for section in sections:
        if section.type == SHT_NOTE:
            for note in NOTE.finditer(image.bytes_of(section).data):
                start, end = section.offset + note.start(), section.offset + note.end()
                yield Place(start, end, min(end + note[1][0], section.offset + section.size))


@lru_cache(maxsize=1)
def way_of(image: Image) -> Way | None:
    """How the linker made the build-id of an image that is as it left it; None if there is no one, or no known way."""
    found = list(places(image, image.sections))
    if len(found) != 1:
        return None
    made = image.data[found[0].start : found[0].end].tobytes()
    return next((way for way in WAYS if way(_blank(image, found[0]), image, found[0])[: len(made)] == made), None)


def is_renewable(image: Image) -> bool:
    """Whether the image can get the build-id that its linker would have made of other bytes."""
    return not any(places(image, image.sections)) or way_of(image) is not None


def renew(path: Path, way: Way) -> None:
    """Gives the image at `path`, which has a build-id made that way, the one of its bytes."""
    image = Image(path)
    (place,) = places(image, image.sections)
    new = way(_blank(image, place), image, place)[: place.end - place.start]
    with path.open("r+b") as file:
        file.seek(place.start)
        file.write(new)


def _blank(image: Image, place: Place) -> bytearray:
    data = bytearray(image.data)
    data[place.start : place.end] = bytes(place.end - place.start)
    return data


def _gnu(digest: Hash) -> Way:
    """The headers, without places in the file, and each section behind its own; the note is not there yet."""

    def way(data: bytearray, image: Image, place: Place) -> bytes:
        data[place.note : place.end] = bytes(place.end - place.note)
        file, sections = strip.headers_of(image)
        first, size = int(file["phoff"]), int(file["phnum"]) * int(file["phentsize"])
        file["phoff"] = file["shoff"] = sections["offset"] = 0
        made = digest(file.tobytes() + data[first : first + size])
        for header, section in zip(sections, image.sections, strict=True):
            made.update(header.tobytes())
            late = section.type in (SHT_SYMTAB, SHT_STRTAB) and not section.flags & SHF_ALLOC
            if section.type != SHT_NOBITS and not late:
                made.update(memoryview(data)[section.offset : section.offset + section.size])
        return bytes(made.digest())

    return way


def _sharded(digest: Hash, size: int, *, cut: bool) -> Way:
    """The hash of the hashes of the file's parts of `size` bytes, these cut to the size of the id if so it is."""

    def way(data: bytearray, image: Image, place: Place) -> bytes:
        view = memoryview(data)
        part = place.end - place.start if cut else None
        parts = (digest(view[at : at + size]).digest()[:part] for at in range(0, len(data), size))
        return bytes(digest(b"".join(parts)).digest())

    return way


WAYS = (
    *map(_gnu, (sha1, md5)),
    *(_sharded(digest, MIB, cut=True) for digest in (sha1, md5, blake3)),  # lld 14: SHA-1 and MD5; lld 19: BLAKE3
    *(_sharded(digest, 4 * MIB, cut=False) for digest in (sha256, blake3)),  # mold 1.10, and 2.37
)
