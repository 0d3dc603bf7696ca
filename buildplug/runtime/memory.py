"""The memory of a kernel, for the reference implementations."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from buildplug.arch.field import Field
from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.image.elf import Image
from buildplug.image.groups import groups
from buildplug.image.headers import SHF_ALLOC, SHT_NOBITS, Array


class Status(NamedTuple):
    """The result of a runtime function: "ok" or an error's name (sites_format.ERRORS for the fixup), and the index of
    the section, op or site that is wrong."""

    error: str
    entry: int


@frozen
class Memory:
    """The bytes of an image in memory: (address, content) of each region; they do not overlap."""

    regions: tuple[tuple[int, bytearray], ...]

    @cached_property
    def _by_start(self) -> list[tuple[int, bytearray]]:
        return sorted(self.regions, key=itemgetter(0))

    def _find(self, address: int) -> tuple[bytearray, int]:
        number = bisect_right(self._by_start, address, key=itemgetter(0)) - 1
        start, content = self._by_start[number] if number >= 0 else (0, bytearray())
        return (content, address - start) if address - start < len(content) else (bytearray(), 0)

    def read(self, address: int, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end of a region."""
        content, at = self._find(address)
        return bytes(content[at : at + size])

    def gather(self, addresses: Array, size: int) -> tuple[Array, Array]:
        """The `size` bytes at each address, shape (n, size), and whether there are so many; if not, they are zeros."""
        found, whole = np.zeros((len(addresses), size), "u1"), np.zeros(len(addresses), bool)
        for content, chosen, places in self._pieces(addresses, size):
            found[chosen], whole[chosen] = content[places], True
        return found, whole

    def scatter(self, addresses: Array, data: Array) -> None:
        """Writes the rows of `data`, shape (n, size), at the addresses, where there are so many bytes."""
        for content, chosen, places in self._pieces(addresses, data.shape[1]):
            content[places] = data[chosen]

    def _pieces(self, addresses: Array, size: int) -> Iterator[tuple[Array, Array, Array]]:
        """The content of each region with some of the addresses, which of these are in it with `size` bytes, and the
        indices of those, shape (chosen, size)."""
        starts = np.array([start for start, _ in self._by_start], "u8")
        for number, chosen in groups(np.searchsorted(starts, addresses, "right") - 1):
            if number >= 0:
                content = np.frombuffer(self._by_start[number][1], "u1")
                offsets = addresses[chosen] - starts[number]
                inside = offsets + np.uint64(size) <= len(content)
                yield content, chosen[inside], offsets[inside].astype("i8")[:, None] + np.arange(size)

    def write(self, address: int, data: bytes) -> None:
        content, at = self._find(address)
        content[at : at + len(data)] = data


def memory_of(image: Image, slide: int = 0) -> tuple[Memory, int, int]:
    """The memory of an image that is loaded `slide` bytes from its link address: the allocated sections with content;
    and the start and end addresses of all allocated sections. Raises BuildplugError if no word can hold the end."""
    alloc = list(image.sections.at((image.headers["flags"] & SHF_ALLOC != 0) & (image.headers["size"] > 0)))
    if not alloc:
        raise image.bad("expected sections in memory, found none", "name a linked image")
    regions = [(s.address + slide, bytearray(image.bytes_of(s).tobytes())) for s in alloc if s.type != SHT_NOBITS]
    start, end = min(s.address for s in alloc), max(s.address + s.size for s in alloc)
    if end + slide >= image.arch.modulus:
        raise image.bad(
            f"expected an image below the top of the address space, found one up to {end + slide:#x}", "link it lower"
        )
    return Memory(tuple(regions)), start + slide, end + slide


def get(arch: Arch, field: Field, content: bytes, pc: int) -> int:
    """The address in the field at the start of `content`."""
    return int(field.get(int.from_bytes(content[: field.size], arch.order), pc)) % arch.modulus


def put(arch: Arch, field: Field, content: bytes, pc: int, address: int) -> bytes | None:
    """The bytes of the field at the start of `content` with `address` in it; None if it does not fit."""
    word, fits = field.put(int.from_bytes(content[: field.size], arch.order), pc % arch.modulus, address, arch.bits)
    return int(word).to_bytes(field.size, arch.order) if fits else None
