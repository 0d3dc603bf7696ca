"""Tables whose bytes are made in one piece: the assembler includes them, the linker adds the sections' addresses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from buildplug.arch.model import Arch
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.tables.binary import Records, anchored, dtypes
from buildplug.tables.format import Format, Source, rounded


@dataclass(frozen=True)
class Packed:
    """A table as the build handles it: the bytes, which end with the bases of its sections, the image's; and the
    sections' names."""

    rule: Rule
    arch: Arch
    data: bytes
    count: int  # of rows
    section_names: tuple[str, ...]  # of those whose addresses the linker fills in; behind them come
    fixed: tuple[int, ...] = ()  # the addresses of those that stay where they are when the kernel moves
    op_names = ()

    def __len__(self) -> int:
        return self.count

    def encode(self) -> bytes:
        return self.data

    def describe(self, at: int) -> str:
        """What the byte at offset `at` of the table is about."""
        return "the sections' addresses" if at >= self.before_bases else f"one of its {self.count} rows"

    @property
    def before_bases(self) -> int:
        """Bytes of the table up to the addresses that the linker fills in."""
        return len(self.data) - self.arch.word * (len(self.section_names) + len(self.fixed))

    @property
    def room(self) -> int:
        return rounded(len(self.data))

    @property
    def blob(self) -> bytes:
        return self.data[: self.before_bases]

    def context(self) -> dict[str, Any]:
        """What templates see, the bytes up to the bases in a file apart."""
        return {"rows": self.count, "fixed": self.fixed}

    def arrays(self) -> dict[str, Array]:
        """All of it as arrays, for a file."""
        return {
            "data": np.frombuffer(self.data, "u1"),
            "count": np.array([self.count]),
            "names": np.array(self.section_names, str),
            "fixed": np.array(self.fixed, "u8"),
        }

    @classmethod
    def from_arrays(cls, rule: Rule, arch: Arch, kept: dict[str, Array]) -> "Packed":
        names, fixed = tuple(kept["names"].tolist()), tuple(kept["fixed"].tolist())
        return cls(rule, arch, kept["data"].tobytes(), int(kept["count"][0]), names, fixed)


class PackedFormat(Format):
    """What the formats of such tables have in common. `records`: the one of the format's name is the header, whose
    `size` and `sections` are those of the table; `counted`: the field of it that has the number of rows."""

    template = "packed.S.j2"
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

    def from_arrays(self, rule: Rule, arch: Arch, kept: dict[str, Array]) -> Packed:
        return Packed.from_arrays(rule, arch, kept)

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        return {f"{rule.symbol}.h": Source("packed.h.j2", {"rule": rule})}
