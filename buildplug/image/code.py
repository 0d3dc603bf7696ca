"""Instruction boundaries in code sections."""

from functools import cached_property

import capstone
import numpy as np

from buildplug.arch.decode import decoder, instructions
from buildplug.image.elf import Image
from buildplug.image.headers import STT_FUNC, STT_NOTYPE, Section
from buildplug.image.symtab import among


class Disassembler:
    """Decodes a code section from function starts, as bytes alone do not say where instructions begin."""

    def __init__(self, image: Image, section: Section):
        self.image, self.section = image, section

    @cached_property
    def _starts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        mine = self.image.symbols[self.image.symbols_of(self.section.index)]
        mine = mine[among(mine["type"], (STT_FUNC, STT_NOTYPE))]
        return np.sort((mine["value"] - np.uint64(self.section.address)).astype("i8"))

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
