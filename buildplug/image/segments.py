"""The segments of an image, with the sections that each holds. Source: System V gABI, chapter 5."""

import numpy as np

from buildplug.base.records import frozen
from buildplug.image.elf import Image
from buildplug.image.headers import (
    PF_R,
    PF_W,
    PF_X,
    PT_GNU_STACK,
    PT_LOAD,
    PT_NULL,
    PT_TLS,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_TLS,
    SHF_WRITE,
    SHT_NOBITS,
    Array,
    Section,
    distinct,
)


def kinds(image: Image, section: Section) -> str:
    """The segments that hold a section, as text: their flags, and the type unless it is PT_LOAD."""
    return " ".join(kind(row) for row in image.segments[holding(image, section)])


def holding(image: Image, section: Section) -> Array:
    """Mask of the segments that hold all of a section: bool, the shape of image.segments."""
    start, size, rows = np.uint64(section.address), np.uint64(section.size), image.segments
    before, room = start - rows["vaddr"], rows["memsz"]  # a sum may not fit into 64 bits
    inside: Array = (rows["vaddr"] <= start) & (before <= room) & (size <= room - before)
    return inside


@frozen
class Segments:
    """The allocated sections of an image that are not empty, and its segments: `held` has a column for each segment."""

    image: Image
    names: list[str]
    start: Array  # addresses
    end: Array
    offset: Array
    alignment: Array
    flags: Array  # SHF_*
    stored: Array  # whether they have content
    rows: Array  # the segments
    held: Array

    def edges(self, segment: int) -> tuple[int, int, int]:
        """What the bounds of a segment differ by from those of its sections, in bytes: its start, end, and end of what
        the file has of it."""
        row, held = self.rows[segment], self.held[:, segment]
        start, size, memory = int(row["vaddr"]), int(row["filesz"]), int(row["memsz"])
        last = int(self.end[held & self.stored].max(initial=start))
        return int(self.start[held].min()) - start, start + memory - int(self.end[held].max()), start + size - last


def segments_of(image: Image) -> Segments:
    """The sections and segments of an image. PT_GNU_STACK holds no section, whatever its addresses."""
    headers = image.headers
    # thread-local sections without content take no memory: their addresses are those of the sections behind them
    local = headers["flags"] & SHF_TLS != 0
    phantom = local & (headers["type"] == SHT_NOBITS)
    chosen = np.flatnonzero((headers["flags"] & SHF_ALLOC != 0) & (headers["size"] > 0))
    start = headers["address"][chosen].astype("u8")
    end = start + headers["size"][chosen].astype("u8")
    rows = image.segments[image.segments["type"] != PT_NULL]
    first = rows["vaddr"].astype("u8")
    inside = (first <= start[:, None]) & (end[:, None] <= first + rows["memsz"].astype("u8"))
    inside &= np.where(rows["type"] == PT_TLS, local[chosen][:, None], ~phantom[chosen][:, None])
    inside &= rows["type"] != PT_GNU_STACK
    every, stored = image.sections.names, headers["type"][chosen] != SHT_NOBITS
    offset, alignment, flags = (headers[name][chosen].astype("u8") for name in ("offset", "alignment", "flags"))
    return Segments(
        image, [every[i] for i in chosen.tolist()], start, end, offset, alignment, flags, stored, rows, inside
    )  # fmt: skip


def flags_needed(one: Segments, chosen: Array) -> Array:
    """For each segment the flags that those of the `chosen` sections need that it holds: to be read, and what their
    own flags say."""
    held = one.held & chosen[:, None]
    found = np.where(held.any(axis=0), PF_R, 0)
    for flag, access in ((SHF_WRITE, PF_W), (SHF_EXECINSTR, PF_X)):
        found |= np.where(held[one.flags & np.uint64(flag) != 0].any(axis=0), access, 0)
    return found


def kind(row: Array) -> str:
    """A segment's flags as text, and its type unless it is PT_LOAD."""
    letters = {PF_R: "R", PF_W: "W", PF_X: "X"}
    flags = "".join(letters[bit] for bit in letters if int(row["flags"]) & bit) or "none"
    odd = int(row["flags"]) & ~(PF_R | PF_W | PF_X)
    return (f"{int(row['type']):#x}:" if row["type"] != PT_LOAD else "") + flags + (f"+{odd:#x}" if odd else "")


def patterns_of(one: Segments) -> tuple[list[tuple[int, ...]], Array]:
    """The different sets of segments that sections are held by, and for each section which of them."""
    words = np.zeros((len(one.names), max(1, -(-len(one.rows) // 64))), "u8")
    packed = np.packbits(one.held, axis=1)
    words.view("u1").reshape(len(words), 8 * words.shape[1])[:, : packed.shape[1]] = packed
    keys = words[:, 0] if words.shape[1] == 1 else words  # numbers are sorted much faster than rows
    _, first, which = np.unique(keys, return_index=True, return_inverse=True, axis=0)
    return [tuple(np.flatnonzero(one.held[row]).tolist()) for row in first.tolist()], which.ravel()


def delta_of(row: Array, image: Image) -> int:
    """The distance from a segment's link address to its load address."""
    return (int(row["paddr"]) - int(row["vaddr"])) % image.arch.modulus


def load_numbers(one: Segments) -> list[int]:
    """The segments that a loader reads from the file."""
    found: list[int] = np.flatnonzero((one.rows["type"] == PT_LOAD) & (one.rows["filesz"] > 0)).tolist()
    return found


def overlap(one: Segments) -> bool:
    """Whether segments overlap in memory."""
    rows = one.rows[(one.rows["type"] == PT_LOAD) & (one.rows["memsz"] > 0)]
    starts, sizes = rows["vaddr"].astype("u8"), rows["memsz"].astype("u8")
    order = np.argsort(starts, kind="stable")
    return bool((starts[order][1:] < (starts + sizes)[order][:-1]).any())


def stray_values(one: Segments, number: int) -> list[int]:
    """The values of the bytes that a segment loads from the file beside its sections and the headers."""
    row, header, held = one.rows[number], one.image.header, one.held[:, number] & one.stored
    start, end = int(row["offset"]), min(int(row["offset"]) + int(row["filesz"]), len(one.image.data))
    table = int(header["phoff"])
    starts = np.concatenate([one.offset[held].astype("i8"), [0, table, end]])
    sizes = np.concatenate([(one.end - one.start)[held].astype("i8"), [int(header["ehsize"]), 0, 0]])
    sizes[-2] = int(header["phnum"]) * int(header["phentsize"])
    order = np.argsort(starts, kind="stable")
    past = np.maximum.accumulate(np.append(start, (starts + sizes)[order]))[:-1]
    starts = np.minimum(starts[order], end)
    gaps = np.flatnonzero(starts > past)
    if not len(gaps):
        return []
    bounds = zip(past[gaps].tolist(), starts[gaps].tolist(), strict=True)
    values = np.concatenate([one.image.data[first:last] for first, last in bounds])
    values = values[:1] if values.min() == values.max() else values  # as nearly always
    return [int(value) for value in distinct(values)]
