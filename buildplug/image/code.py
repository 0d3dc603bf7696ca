"""Instruction boundaries in code sections."""

from functools import cached_property

import capstone
import numpy as np

from buildplug.arch.decode import decoder, instructions
from buildplug.image.elf import Image
from buildplug.image.groups import groups
from buildplug.image.headers import STT_FUNC, STT_NOTYPE, Array, Section
from buildplug.image.symtab import among

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
        found = np.full((2, len(offsets)), -1)
        function = np.searchsorted(self._starts, offsets, "right") - 1
        for number, at in groups(function):
            if number >= 0:
                starts, ends = self._decoded(int(self._starts[number]), int(offsets[at].max()))
                near = np.searchsorted(starts, offsets[at], "right") - 1
                inside = (near >= 0) & (offsets[at] < np.append(ends, 0)[near])
                found[:, at[inside]] = starts[near[inside]], ends[near[inside]]
        return found[0], found[1]

    def _decoded(self, start: int, last: int) -> tuple[Array, Array]:
        """Where the instructions from `start` up to `last` begin and end, as far as they decode."""
        content, found = self.image.bytes_of(self.section), []
        machine = decoder(self.image.arch.capstone, False)
        while start <= last:
            code = content[start : min(start + PIECE, last + LONGEST + 1)].tobytes()
            lengths = np.array([length for _, length, _, _ in machine.disasm_lite(code, start)], "i8")
            if not len(lengths):
                break
            found.append(start + np.cumsum(lengths) - lengths)
            start += int(lengths.sum())
        starts = np.concatenate([*found, np.zeros(0, "i8")])
        return starts, np.append(starts[1:], start)[: len(starts)]

    def instruction(self, start: int, end: int) -> capstone.CsInsn:
        """The instruction between two offsets, which it is known to be at."""
        code = self.image.bytes_of(self.section)[start:end].tobytes()
        return next(instructions(self.image.arch, code, self.section.address + start))
