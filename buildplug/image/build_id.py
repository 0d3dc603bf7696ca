"""The build-id of an image: finds how the linker computed it, and recomputes it for changed bytes.

Linkers do not document this, so an algorithm is accepted only if it reproduces the linker's own id. Known: GNU ld,
mold, and lld except `fast`. Note format: gABI, "Note Section".
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from buildplug.base.records import frozen
from buildplug.image import strip
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, SHT_NOBITS, SHT_NOTE, SHT_STRTAB, SHT_SYMTAB, Section

# A build-id note up to the id, capturing the id's length; other notes may surround it. By the file's byte order.
NOTE = {
    "<": re.compile(rb"\x04\0{3}(.)\0{3}\x03\0{3}GNU\0", re.DOTALL),
    ">": re.compile(rb"\0{3}\x04\0{3}(.)\0{3}\x03GNU\0", re.DOTALL),
}
MIB = 1 << 20

Hash = Callable[..., Any]
Algorithm = Callable[[Image, "Location"], bytes]  # the build-id of an image that has one there


@frozen
class Location:
    """The place of a build-id in the file: offsets in bytes."""

    note: int
    start: int
    end: int


def locations(image: Image, only: Section | None = None) -> Iterator[Location]:
    """The build-ids in an image, or in one section of it: more than one if inputs brought their own."""
    for section in image.sections.at(image.headers["type"] == SHT_NOTE):
        if only in (None, section):
            for note in NOTE[image.arch.byteorder].finditer(image.bytes_of(section).data):
                start, end = section.offset + note.start(), section.offset + note.end()
                yield Location(start, end, min(end + note[1][0], section.offset + section.size))


@lru_cache(maxsize=1)
def algorithm_of(image: Image) -> Algorithm | None:
    """How the linker made the build-id of an unmodified image; None without exactly one id, or if no known way fits."""
    found = list(locations(image))
    if len(found) != 1:
        return None
    made = image.data[found[0].start : found[0].end].tobytes()
    return next((a for a in ALGORITHMS if a(image, found[0])[: len(made)] == made), None)


def is_renewable(image: Image) -> bool:
    """Whether the build-id can be recomputed after the image changes; true if it has none."""
    return not any(locations(image)) or algorithm_of(image) is not None


def is_kept(draft: Image, final: Image) -> bool:
    """Whether the final image has a build-id of its bytes if the draft has; true if it is not known how it is made."""
    return algorithm_of(draft) is None or algorithm_of(final) is not None


def renew(path: Path, algorithm: Algorithm) -> None:
    """Rewrites the build-id of the image at `path`, made by `algorithm`, for its current bytes."""
    image = Image(path)
    (location,) = locations(image)
    new = algorithm(image, location)[: location.end - location.start]
    with path.open("r+b") as file:
        file.seek(location.start)
        file.write(new)


def _blank(image: Image, first: int, last: int, start: int, end: int) -> memoryview:
    """The bytes of a file from offset `first` to `last`, those from `start` to `end` as zeros."""
    part = image.data[first:last]
    if first < end and start < last:
        part = part.copy()
        part[max(start - first, 0) : end - first] = 0
    return part.data


def _gnu(digest: Hash) -> Algorithm:
    """GNU ld: hashes the headers without file offsets, each section after its header, with the note still zero."""

    def algorithm(image: Image, location: Location) -> bytes:
        file, sections = strip.headers_of(image)
        first, size = int(file["phoff"]), int(file["phnum"]) * int(file["phentsize"])
        file["phoff"] = file["shoff"] = sections["offset"] = 0
        made = digest(file.tobytes() + image.data[first : first + size].tobytes())
        for header, section in zip(sections, image.sections, strict=True):
            made.update(header.tobytes())
            late = section.type in (SHT_SYMTAB, SHT_STRTAB) and not section.flags & SHF_ALLOC
            if section.type != SHT_NOBITS and not late:
                made.update(_blank(image, section.offset, section.offset + section.size, location.note, location.end))
        return bytes(made.digest())

    return algorithm


def _hashed(name: str) -> Hash:
    """A hash of hashlib, by its name."""

    def digest(data: bytes) -> Any:
        import hashlib  # lazy: it loads a large library, and few images have a build-id

        return hashlib.new(name, data)

    return digest


_SHA1, _MD5, _SHA256 = map(_hashed, ("sha1", "md5", "sha256"))


def _blake3(data: bytes) -> Any:
    from blake3 import blake3  # lazy: few build-ids need it

    return blake3(data)


def _sharded(digest: Hash, size: int, *, cut: bool) -> Algorithm:
    """lld and mold: the hash of the hashes of `size`-byte parts; `cut` truncates those to the length of the id."""

    def algorithm(image: Image, location: Location) -> bytes:
        cut_to = location.end - location.start if cut else None
        parts = (
            digest(_blank(image, at, at + size, location.start, location.end)).digest()[:cut_to]
            for at in range(0, len(image.data), size)
        )
        return bytes(digest(b"".join(parts)).digest())

    return algorithm


ALGORITHMS = (
    *map(_gnu, (_SHA1, _MD5)),
    *(_sharded(digest, MIB, cut=True) for digest in (_SHA1, _MD5, _blake3)),  # lld 14: SHA-1 and MD5; lld 19: BLAKE3
    *(_sharded(digest, 4 * MIB, cut=False) for digest in (_SHA256, _blake3)),  # mold 1.10 and 2.37
)
