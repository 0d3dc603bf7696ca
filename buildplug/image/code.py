"""Instruction boundaries and data in code sections."""

from functools import cached_property

import capstone
import numpy as np

from buildplug.arch.decode import decoder, instructions
from buildplug.image.elf import Image
from buildplug.image.headers import STT_FUNC, STT_NOTYPE, STT_OBJECT, Section
from buildplug.image.symtab import among


class Disassembler:
    """Decodes a code section from function starts, as bytes alone do not say where instructions begin."""

    def __init__(self, image: Image, section: Section):
        self.image, self.section = image, section

    @cached_property
    def _starts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        symbols = self.image.symbols
        mine = (symbols["section"] == self.section.index) & among(symbols["type"], (STT_FUNC, STT_NOTYPE))
        return np.sort((symbols["value"][mine] - np.uint64(self.section.address)).astype("i8"))

    @cached_property
    def _objects(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
        symbols = self.image.symbols
        mine = symbols[(symbols["section"] == self.section.index) & (symbols["type"] == STT_OBJECT)]
        starts = (mine["value"] - np.uint64(self.section.address)).astype("i8")
        order = np.argsort(starts, kind="stable")
        return starts[order], (starts + mine["size"].astype("i8"))[order]

    def is_data(
        self, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each offset is data: everything in a section without code, else what STT_OBJECT symbols cover."""
        if not self.section.executable:
            return np.ones(len(offsets), bool)
        starts, ends = self._objects
        if not len(starts):
            return np.zeros(len(offsets), bool)
        nearest = np.searchsorted(starts, offsets, "right") - 1
        return (nearest >= 0) & (offsets < ends[nearest])

    def instruction(self, offset: int) -> capstone.CsInsn | None:
        """The instruction that contains the byte at `offset`; None if the code before it does not decode."""
        index = int(np.searchsorted(self._starts, offset, "right")) - 1
        if index < 0:
            return None
        start = int(self._starts[index])
        content = self.image.bytes_of(self.section)
        machine = decoder(self.image.arch.capstone, False)
        code = content[start : offset + 16].tobytes()
        for address, length, _, _ in machine.disasm_lite(code, self.section.address + start):
            place = address - self.section.address
            if place + length > offset:
                return next(instructions(self.image.arch, content[place : place + length].tobytes(), address))
        return None
