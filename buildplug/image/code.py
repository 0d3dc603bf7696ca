"""Instruction boundaries in code sections."""

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import STT_FUNC, STT_NOTYPE, Array, Section, among, distinct
from buildplug.native import loops

if TYPE_CHECKING:
    import capstone

PIECE = 1 << 16  # bytes that are decoded at a time, as the decoder takes much memory
LONGEST = 15  # bytes of an instruction


class Disassembler:
    """Decodes a code section from function starts, as bytes alone do not say where instructions begin. Imports capstone
    for what our own loop does not know, as that is slow."""

    def __init__(self, image: Image, section: Section):
        self.image, self.section = image, section

    @cached_property
    def _starts(self) -> Array:
        mine = self.image.symbols[self.image.symbols_of(self.section.index)]
        mine = mine[among(mine["type"], (STT_FUNC, STT_NOTYPE))]
        return np.sort((mine["value"] - np.uint64(self.section.address)).astype("i8"))

    def extents(self, offsets: Array) -> Array:
        """Where the instructions that contain the bytes at `offsets` begin and end, and where their immediates begin,
        offsets, shape (n, 3). All three are -1 where the code before does not decode; the third, too, if there is no
        immediate, or if capstone decoded the instruction."""
        function = np.searchsorted(self._starts, offsets, "right") - 1
        found = np.full((len(offsets), 3), -1)
        order = np.flatnonzero(function >= 0)
        order = order[np.argsort(offsets[order])]  # so that each function is decoded once
        if self.image.arch.lengths:
            quick = loops.find_instructions(
                self.image.bytes_of(self.section), self._starts[function[order]], offsets[order]
            )
            if quick is not None:
                found[order] = quick
                order = order[quick[:, 0] < 0]
        if len(order):
            found[order, :2] = self._decoded(function[order], offsets[order])
        return found

    def _decoded(self, function: Array, offsets: Array) -> Array:
        """extents() by capstone, but for immediates, of offsets in these functions."""
        last = np.zeros(len(self._starts), "i8")
        np.maximum.at(last, function, offsets)
        used = distinct(function)
        bounds = [
            self._bounds(*extent) for extent in zip(self._starts[used].tolist(), last[used].tolist(), strict=True)
        ]
        starts = np.array([start for of in bounds for start in of[:-1]], "i8")
        ends = np.array([end for of in bounds for end in of[1:]], "i8")
        near = np.searchsorted(starts, offsets, "right") - 1
        starts, ends = np.append(starts, -1)[near], np.append(ends, -1)[near]
        inside = (starts >= self._starts[function]) & (offsets < ends)
        return np.where(inside, [starts, ends], -1).T

    def _bounds(self, start: int, last: int) -> list[int]:
        """Where the instructions from `start` up to `last` begin, as far as they decode; and where the last ends."""
        from buildplug.arch.decode import decoder

        content, machine = self.image.bytes_of(self.section), decoder(self.image.arch.capstone, False)
        found = [start]
        while found[-1] <= last:
            code = content[found[-1] : min(found[-1] + PIECE, last + LONGEST + 1)].tobytes()
            lengths = [length for _, length, _, _ in machine.disasm_lite(code, found[-1])]
            if not lengths:
                break
            found += accumulate(lengths[1:], initial=found[-1] + lengths[0])
        return found[: bisect_right(found, last) + 1]  # what was decoded beyond may be of the next function

    def instruction(self, start: int, end: int) -> "capstone.CsInsn":
        """The instruction between two offsets, which it is known to be at."""
        from buildplug.arch.decode import instructions

        code = self.image.bytes_of(self.section)[start:end].tobytes()
        return next(instructions(self.image.arch, code, self.section.address + start))
