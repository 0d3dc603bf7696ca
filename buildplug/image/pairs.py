"""The sections of two links of one kernel, paired by name, and the bytes in which they differ.

All sections are taken at once, as there may be very many.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from buildplug.arch.field import Field
from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, SHT_NOTE, Array, Section, sorting

PIECE = 1 << 20  # bytes that are compared together


def allocated(image: Image, own: set[str], *, matching: Sequence[str] = (), but: Sequence[str] = ()) -> Array:
    """The indices of the sections in memory other than the tables (`own`), by name, as anchors can change GNU ld's
    order; only those that match one of `matching`, if given, and none of `but`."""
    chosen = image.headers["flags"] & SHF_ALLOC != 0
    chosen &= image.sections.matching(matching or ("*",), but)
    chosen[[index for name in own for index in image.sections.called(name)]] = False
    return np.array(sorted(np.flatnonzero(chosen).tolist(), key=image.sections.names.__getitem__), "i8")


@frozen
class Pairs:
    """Sections of the draft and of the final image, by index, shape (pairs,): those of one place have one name."""

    draft: Image
    final: Image
    before: Array
    after: Array

    def __len__(self) -> int:
        return len(self.after)

    def name(self, pair: int) -> str:
        return self.final.sections.names[int(self.after[pair])]

    def sections(self, pair: int) -> tuple[Section, Section]:
        """A pair in the draft and in the final image."""
        return self.draft.sections[int(self.before[pair])], self.final.sections[int(self.after[pair])]

    def numbers(self, image: Image, sections: Array) -> Array:
        """The pair that each section of one of the two images, by its index, is of; -1 for none."""
        found = np.full(len(image.sections), -1)
        indices = self.before if image is self.draft else self.after
        found[indices] = np.arange(len(indices))
        numbers: Array = found[sections]
        return numbers

    def columns(self, field: str) -> tuple[Array, Array]:
        """A field of the section headers in the draft and in the final image."""
        return self.draft.headers[field][self.before], self.final.headers[field][self.after]

    def place(self, pair: int, at: int) -> str:
        """An offset in a pair, with the symbol of the final image that the byte belongs to."""
        section = self.final.sections[int(self.after[pair])]
        symbol = self.final.symbol_at(section, at)
        if symbol is None:
            return f"+{at:#x}"
        start = int(self.final.symbols["value"][symbol]) - section.address
        return f"+{at:#x} ({self.final.name_of(symbol)}+{at - start:#x})"

    def byte(self, pair: int, at: int) -> str:
        """How a byte differs, at an offset in a pair of equal size."""
        sides = zip((self.draft, self.final), self.sections(pair), strict=True)
        was, now = (image.bytes_of(section)[at] for image, section in sides)
        return f"byte {self.place(pair, at)} was {was:#04x}, is {now:#04x}"

    @cached_property
    def of_other_kind(self) -> Array:
        """Whether the type or flags of each pair differ."""
        (types, types_now), (flags, flags_now) = self.columns("type"), self.columns("flags")
        found: Array = (types != types_now) | (flags != flags_now)
        return found

    def unlike(self, rows: Array, fields: dict[int, Field]) -> Array:
        """The offset of the first of the differing() bytes of each pair, -1 for none, shape (pairs,)."""
        first = np.full(len(self), -1)
        for pair, offset in self.differing(rows, fields):
            found, index = np.unique(pair, return_index=True)
            new = first[found] < 0
            first[found[new]] = offset[index[new]]
        return first

    def differing(self, rows: Array, fields: dict[int, Field]) -> Iterator[tuple[Array, Array]]:
        """Where the bytes of pairs of one size differ, outside build-ids and the fields of the draft's relocations
        `rows`: pairs and offsets, in pieces, by offset in each pair."""
        starts, sizes = (each[self.before].astype("i8") for each in self.draft.contents)
        starts_now, sizes_now = (each[self.after].astype("i8") for each in self.final.contents)
        order = np.flatnonzero((sizes == sizes_now) & (sizes > 0))
        order = order[np.argsort(starts[order], kind="stable")]
        starts, ends, shifts = starts[order], (starts + sizes)[order], (starts_now - starts)[order]
        place, fields_of = self._places(rows, fields)
        bits = masks(self.draft.arch, fields)
        blanks = self._build_ids()
        # Sections that follow each other at one distance in both files are compared together.
        alone = starts[1:] < np.maximum.accumulate(ends)[:-1]
        edges = np.flatnonzero(np.append(True, (shifts[1:] != shifts[:-1]) | alone))
        for begin, end in zip(edges.tolist(), [*edges[1:].tolist(), len(order)], strict=True) if len(order) else ():
            shift, limit = int(shifts[begin]), int(ends[begin:end].max())
            for at in range(int(starts[begin]), limit, PIECE):
                to = min(at + PIECE, limit)
                differs = self.draft.data[at:to] ^ self.final.data[at + shift : to + shift]
                if not differs.any():
                    continue
                low, high = np.searchsorted(place, (at - 8, to))
                clear(differs, place[low:high] - at, fields_of[low:high], bits)
                for one, other in blanks:
                    differs[max(one - at, 0) : max(other - at, 0)] = 0
                places = np.flatnonzero(differs) + at
                near = np.searchsorted(starts[begin:end], places, "right") - 1 + begin
                inside = (near >= begin) & (places < ends[near])
                yield order[near[inside]], places[inside] - starts[near[inside]]

    def _places(self, rows: Array, fields: dict[int, Field]) -> tuple[Array, Array]:
        """Where relocated fields are in the draft's file, ascending, and their relocation types."""
        starts, sizes = self.draft.contents
        widths = np.zeros(len(rows), "u8")
        for kind, field in fields.items():
            widths[rows["type"] == kind] = field.size
        inside = (widths > 0) & (rows["offset"] + widths <= sizes[rows["section"]])
        places, types = (starts[rows["section"]] + rows["offset"])[inside].astype("i8"), rows["type"][inside]
        if (places[1:] >= places[:-1]).all():
            return places, types
        order = sorting(places)
        return places[order], types[order]

    def _build_ids(self) -> list[tuple[int, int]]:
        """Where a build-id is in either file, as offsets in the draft: start, end."""
        found = []
        notes = np.flatnonzero((self.columns("type")[0] == SHT_NOTE) | (self.columns("type")[1] == SHT_NOTE))
        for pair in notes.tolist():
            sections = self.sections(pair)
            for image, section in zip((self.draft, self.final), sections, strict=True):
                shift = sections[0].offset - section.offset
                found += [(one.start + shift, one.end + shift) for one in build_id.locations(image, section)]
        return found


def masks(arch: Arch, fields: dict[int, Field]) -> dict[int, bytes]:
    """The bits of each relocation type's field, as bytes in the machine's order."""
    return {kind: field.mask.to_bytes(field.size, arch.order) for kind, field in fields.items()}


def clear(content: Array, offsets: Array, types: Array, masks: dict[int, bytes]) -> None:
    """Clears the bits of fields in some bytes. `offsets`: where they begin, which may be outside; `masks`: masks() by
    the fields' relocation types."""
    for kind, mask in masks.items():
        at = offsets[types == kind]
        for byte, bits in enumerate(mask if len(at) else ()):
            inside = at[(at >= -byte) & (at < len(content) - byte)] + byte
            content[inside] &= 0xFF ^ bits
