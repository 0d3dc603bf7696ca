"""How code refers to an address, where its bytes alone do not say it."""

import numpy as np

from buildplug.arch.form import IGNORED_KINDS
from buildplug.image.code import Disassembler
from buildplug.image.elf import Image
from buildplug.image.fields import UNKNOWN
from buildplug.image.groups import groups
from buildplug.image.headers import Array

KIND = f"U{max(map(len, IGNORED_KINDS))}"  # of IGNORED_KINDS, as numpy has it
RIGHT = ""  # in place of such a kind: the form is right


class Instructions:
    """The instructions of an image, by their sections."""

    def __init__(self, image: Image):
        self.image = image
        self.disassemblers: dict[int, Disassembler] = {}

    def _disassembler(self, section: int) -> Disassembler:
        return self.disassemblers.setdefault(section, Disassembler(self.image, self.image.sections[section]))

    def extents(self, sections: Array, places: Array) -> Array:
        """Disassembler.extents() of places in sections."""
        found = np.full((len(places), 3), -1)
        for section, at in groups(sections):
            found[at] = self._disassembler(section).extents(places[at])
        return found

    def uses(self, rows: Array, place: Array, numbers: Array, near: Array) -> tuple[Array, Array]:
        """The addresses that the instructions at places refer to, and the kinds of reference; RIGHT: the form is."""
        starts, ends, immediates = self.extents(rows["section"], place).T
        unknown, known = starts < 0, rows["form"] != UNKNOWN
        opcode = np.array([form.at for form in self.image.arch.forms] + [-1] * 256)[rows["form"]]
        # What is not known follows data in code; two opcode bytes and a target's address there are no coincidence.
        right = known & np.where(unknown, opcode > 1, rows["offset"].astype("i8") == starts)
        # As _use() has it of an immediate, of which capstone need not be asked; opcode 0: the form is the field alone.
        right |= (immediates == place) & (opcode == 0)
        kinds = np.where(right, RIGHT, np.where(immediates == place, "slot-address", np.array("other", KIND)))
        for i in np.flatnonzero(~unknown & ~right & (immediates != place)).tolist():
            kinds[i] = self._use(rows[i], int(starts[i]), int(ends[i]), int(place[i]))
        sizes, relative = (
            np.array([getattr(f, what) for f in self.image.arch.fields])[numbers] for what in ("size", "relative")
        )
        return near + (np.where(unknown, sizes, ends - place) * relative).astype("u8"), kinds

    def _use(self, row: Array, start: int, end: int, place: int) -> str:
        """How the instruction from `start` to `end` uses the target; RIGHT if its form is that of the row."""
        from buildplug.arch.decode import slot_use

        instruction = self._disassembler(int(row["section"])).instruction(start, end)
        immediate = instruction.imm_offset == place - start
        if row["form"] != UNKNOWN and not self.image.arch.forms[row["form"]].at and immediate:
            return RIGHT
        return slot_use(self.image.arch, instruction, place - start)
