"""Tables encoded as one binary: the assembler includes it, the linker appends the sections' addresses."""

from typing import Any, ClassVar

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.tables.binary import Records, anchored, dtypes
from buildplug.tables.format import Contents, Format, Source, rounded

# Linkers take time that grows with the square of the number of ADDR() in scripts. The bases of more sections are
# constants, and corrected after the link like all of a table, if they are not true.
MOST_ANCHORS = 4096


@frozen
class Packed:
    """An encoded table: its bytes, which end with the bases of its sections in the image, and the sections'
    names."""

    rule: Rule
    arch: Arch
    data: bytes
    count: int  # of rows
    section_names: tuple[str, ...]  # sections whose addresses the linker fills in
    fixed: tuple[int, ...] = ()  # then: the bases that are constants, as of sections that do not move with the kernel
    op_names = ()

    def __len__(self) -> int:
        return self.count

    def encode(self) -> bytes:
        return self.data

    def describe(self, at: int) -> str:
        """Which part of the table the byte at offset `at` belongs to."""
        return "the sections' addresses" if at >= self.before_bases else f"one of its {self.count} rows"

    @property
    def bases_at(self) -> int | None:
        return self.before_bases

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        return ()

    @property
    def before_bases(self) -> int:
        """Bytes of the table before the sections' addresses."""
        return len(self.data) - self.arch.word * (len(self.section_names) + len(self.fixed))

    @property
    def room(self) -> int:
        return rounded(len(self.data))

    @property
    def blob(self) -> bytes:
        return self.data[: self.before_bases] if self.section_names else self.data

    def context(self) -> dict[str, Any]:
        """The template's variables; what no linker fills in is in `blob`, up to the first base that one does."""
        return {"rows": self.count, "fixed": self.fixed if self.section_names else ()}

    @classmethod
    def of(cls, rule: Rule, arch: Arch, data: bytes, count: int, names: tuple[str, ...], fixed: int = 0) -> "Packed":
        """A table of sections with these names, and `fixed` ones that do not move with the kernel."""
        if len(names) > MOST_ANCHORS:
            names, fixed = (), fixed + len(names)
        constant = np.frombuffer(data, f"{arch.byteorder}u{arch.word}", fixed, len(data) - fixed * arch.word)
        return cls(rule, arch, data, count, names, tuple(constant.tolist()))


class PackedFormat(Format):
    """Base of the packed formats. `records`: the one named like the format is the header, with the table's `size` and
    `sections`; `counted`: the header field with the number of rows."""

    contents: ClassVar[type[Contents]] = Packed
    records: ClassVar[Records]
    counted: ClassVar[str]

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Packed | None:
        kind = dtypes(self.records)(self.name, image.arch.byteorder)
        if len(data) < kind.itemsize:
            return None
        row, names = np.frombuffer(data, kind, 1)[0], anchored(image, rule)
        fixed = int(row["sections"]) - len(names)
        end, word = int(row["size"]), image.arch.word
        if not 0 <= fixed * word <= end <= len(data):
            return None
        words = np.frombuffer(data, f"{image.arch.byteorder}u{word}", fixed, end - fixed * word)
        return Packed(rule, image.arch, data[:end], int(row[self.counted]), names, tuple(words.tolist()))

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        return {f"{rule.symbol}.h": Source("packed.h.j2", {"rule": rule, "arch": arch})}
