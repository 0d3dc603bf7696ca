"""Instruction boundaries in code sections."""

from functools import cached_property
from itertools import accumulate

import capstone
import numpy as np

from buildplug.arch.decode import decoder, instructions
from buildplug.image.elf import Image
from buildplug.image.headers import STT_FUNC, STT_NOTYPE, Array, Section, among, distinct

PIECE = 1 << 16  # bytes that are decoded at a time, as the decoder takes much memory
LONGEST = 15  # bytes of an instruction


class Disassembler:
    """Decodes a code section from function starts, as bytes alone do not say where instructions begin."""

    def __init__(self, image: Image, section: Section):
        self.image, self.section = image, section

    @cached_property
    def _starts(self) -> Array:
        mine = self.image.symbols[self.image.symbols_of(self.section.index)]
        mine = mine[among(mine["type"], (STT_FUNC, STT_NOTYPE))]
        return np.sort((mine["value"] - np.uint64(self.section.address)).astype("i8"))

    def extents(self, offsets: Array) -> tuple[Array, Array]:
        """Where the instructions that contain the bytes at `offsets` begin and end, offsets of shape (n,) each; -1 if
        the code before one does not decode. Decodes each function once."""
        function = np.searchsorted(self._starts, offsets, "right") - 1
        last = np.zeros(len(self._starts) + 1, "i8")  # the last is for what is before all functions
        np.maximum.at(last, function, offsets)
        used = distinct(function[function >= 0])
        bounds = [
            self._decoded(*extent) for extent in zip(self._starts[used].tolist(), last[used].tolist(), strict=True)
        ]
        starts = np.array([start for of in bounds for start in of[:-1]], "i8")
        ends = np.array([end for of in bounds for end in of[1:]], "i8")
        near = np.searchsorted(starts, offsets, "right") - 1
        starts, ends = np.append(starts, -1)[near], np.append(ends, -1)[near]
        inside = (function >= 0) & (starts >= np.append(self._starts, 0)[function]) & (offsets < ends)
        return np.where(inside, starts, -1), np.where(inside, ends, -1)

    def _decoded(self, start: int, last: int) -> list[int]:
        """Where the instructions from `start` up to `last` begin, as far as they decode; and where the last ends."""
        content, machine = self.image.bytes_of(self.section), decoder(self.image.arch.capstone, False)
        found = [start]
        while found[-1] <= last:
            code = content[found[-1] : min(found[-1] + PIECE, last + LONGEST + 1)].tobytes()
            lengths = [length for _, length, _, _ in machine.disasm_lite(code, found[-1])]
            if not lengths:
                break
            found += accumulate(lengths[1:], initial=found[-1] + lengths[0])
        return found

    def instruction(self, start: int, end: int) -> capstone.CsInsn:
        """The instruction between two offsets, which it is known to be at."""
        code = self.image.bytes_of(self.section)[start:end].tobytes()
        return next(instructions(self.image.arch, code, self.section.address + start))
