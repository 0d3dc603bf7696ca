"""Memory with a table of relocations in it, as a seed makes it, and such tables damaged."""

import random
import struct
from dataclasses import dataclass, replace

import numpy as np

from buildplug.arch.field import ABS32, FIELDS
from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.runtime.memory import Memory, Status
from buildplug.runtime.relocate import relocate
from buildplug.select.relocations import FIELD
from buildplug.tables import relocs
from buildplug.tables.ksyms_format import checksum

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding")
SIZE = 4096  # of a layout's memory, bytes

PLACE = 1 << 20  # where it lies when only the reference looks at it


@dataclass(frozen=True)
class Layout:
    """The memory of an image, with its table at `at`; all offsets from the start of the memory."""

    content: bytes
    at: int
    start: int
    end: int
    slide: int
    arch: Arch = X86_64

    def changed(self, at: int, data: bytes) -> "Layout":
        return replace(self, content=self.content[:at] + data + self.content[at + len(data) :])

    def relocated(self, where: int = PLACE) -> tuple[Status, bytes]:
        """What the reference makes of it, with the memory at address `where`."""
        memory = Memory(((where, bytearray(self.content)),))
        status = relocate(self.arch, memory, where + self.at, where + self.start, where + self.end, self.slide)
        return status, memory.read(where, SIZE)


def lay_out(rng: random.Random, arch: Arch = X86_64) -> Layout:
    """Random sections with random fields around a table; most fields can take the slide."""
    slide = (
        rng.choice((0, 4096, rng.randrange(1 << 20), -rng.randrange(1 << 30), 1 << 31, rng.randrange(1 << 64)))
        % arch.modulus
    )
    content = bytearray(rng.randbytes(SIZE))
    at = rng.randrange(0, SIZE // 2, 8)
    extents, starts, rows, past = [], [], [], rng.randrange(64)
    for section in range(rng.randrange(5)):
        start, end = past + rng.choice((0, 1, 30)), 0
        if at - 200 < start < at + 800:  # leave room for the table
            start = at + 800
        for _ in range(rng.randrange(12)):
            encoding = rng.randrange(4 if arch.word == 8 else 3)
            offset = end + rng.choice((0, 0, 1, 31, 32, rng.randrange(60)))
            behind = offset + FIELDS[encoding].size
            if start + behind > SIZE or (start < at and start + behind > at):
                break
            end = behind
            rows.append((section, offset, encoding, 0, 0, 0))
            if FIELDS[encoding].size == 4 and rng.random() < 0.99:  # leave 2^30 to slide by
                value = (
                    rng.randrange(1 << 30, 3 << 30) if FIELDS[encoding] is ABS32 else rng.randrange(-(1 << 30), 1 << 30)
                )
                content[start + offset : start + end] = (value % (1 << 32)).to_bytes(4, "little")
        if end:
            starts.append(start)
            extents.append(end)
            past = start + end
    kept = np.unique([row[0] for row in rows]).astype("u4")
    array = np.array(rows, FIELD)
    array["section"] = np.searchsorted(kept, array["section"])
    starts_, extents_ = np.array(starts, "u8")[: len(kept)], np.array(extents, "u8")[: len(kept)]
    data = relocs.encode(arch, extents_, starts_ - np.uint64(at), array)
    assert len(data) <= 800
    content[at : at + len(data)] = data
    return Layout(bytes(content), at, 0, SIZE, slide, arch)


def corrupted(rng: random.Random, layout: Layout) -> Layout:
    """The layout with something wrong in the table, mostly under a right checksum; or in the bounds."""
    head = np.frombuffer(layout.content, relocs.dtype("relocs", "<"), 1, layout.at)[0]
    at_fields, at_bases, size = relocs.sizes(layout.arch, int(head["sections"]), int(head["bytes"]))
    kind = rng.choice(("raw", "head", "sections", "fields", "fields", "bases", "bounds"))
    if kind == "bounds":
        by = rng.choice((1, 8, 16, rng.randrange(SIZE), SIZE))
        start, end = (layout.start + by, layout.end) if rng.random() < 0.5 else (layout.start, layout.end - by)
        return replace(layout, start=start, end=end)
    first, last = {
        "raw": (0, size), "head": (0, 32), "sections": (32, at_fields), "fields": (at_fields, at_bases),
        "bases": (at_bases, size),
    }[kind]  # fmt: skip
    if first == last:
        first, last = 0, 32
    at = layout.at + rng.randrange(first, last)
    old = layout.content[at]
    layout = layout.changed(at, bytes([rng.choice((old ^ 1 << rng.randrange(8), 255, 0, old + 1 & 255))]))
    if kind == "raw":
        return layout
    mended = checksum(layout.content[layout.at + relocs.SUMMED : layout.at + at_bases], "<")
    return layout.changed(layout.at + 8, struct.pack("<Q", mended))
