"""The build-id of an image: finds how the linker computed it, and recomputes it for changed bytes.

Linkers do not document this, so a way is accepted only if it reproduces the linker's own id. Known: GNU ld, mold, and
lld except `fast`. Note format: gABI, "Note Section".
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

# A build-id note up to the id, capturing the id's length; other notes may surround it.
NOTE = re.compile(rb"\x04\0{3}(.)\0{3}\x03\0{3}GNU\0", re.DOTALL)
MIB = 1 << 20

Hash = Callable[..., Any]
Way = Callable[[bytearray, Image, "Place"], bytes]  # build-id of a file's bytes, which it may overwrite


@dataclass(frozen=True)
class Place:
    """The place of a build-id in the file: offsets in bytes."""

    note: int
    start: int
    end: int


def places(image: Image, sections: Iterable[Section]) -> Iterator[Place]:
    """The build-ids in sections of an image: more than one if inputs brought their own."""
    for section in sections:
        if section.type == SHT_NOTE:
            for note in NOTE.finditer(image.bytes_of(section).data):
                start, end = section.offset + note.start(), section.offset + note.end()
                yield Place(start, end, min(end + note[1][0], section.offset + section.size))


@lru_cache(maxsize=1)
def way_of(image: Image) -> Way | None:
    """How the linker made the build-id of an unmodified image; None without exactly one id, or if no known way fits."""
    found = list(places(image, image.sections))
    if len(found) != 1:
        return None
    made = image.data[found[0].start : found[0].end].tobytes()
    return next((way for way in WAYS if way(_blank(image, found[0]), image, found[0])[: len(made)] == made), None)


def is_renewable(image: Image) -> bool:
    """Whether the build-id can be recomputed after the image changes; true if it has none."""
    return not any(places(image, image.sections)) or way_of(image) is not None


def renew(path: Path, way: Way) -> None:
    """Rewrites the build-id of the image at `path`, made by `way`, for its current bytes."""
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
    """GNU ld: hashes the headers without file offsets, each section after its header, with the note still zero."""

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
    """lld and mold: the hash of the hashes of `size`-byte parts; `cut` truncates those to the length of the id."""

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
