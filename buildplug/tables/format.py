"""What a binary format of tables is to the passes: a `Format` makes `Contents` of an image, and says how they are told
to the assembler and to the kernel.

Knows no format: `registry` has those that there are.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from buildplug.arch.model import Arch
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array


def rounded(size: int) -> int:
    """Bytes to keep for a table of `size` bytes: some more, so that a table that grows a little still fits. By its size
    alone, as an image may depend on nothing that was there before."""
    granule = max(64, 1 << max(0, size.bit_length() - 4))
    return -(-size // granule) * granule


class Contents(Protocol):
    """What a table has to hold, whichever format it has. Frozen."""

    @property
    def arch(self) -> Arch: ...

    @property
    def section_names(self) -> tuple[str, ...]:
        """The sections whose addresses the linker fills in, in the order of their anchors: Rule.anchor()."""

    @property
    def op_names(self) -> tuple[str, ...]:
        """The ops that rows refer to, by number; none in most formats."""

    @property
    def blob(self) -> bytes | None:
        """The part of the table that goes in as a file of bytes; None if the template has all of it as text."""

    @property
    def room(self) -> int:
        """Bytes to keep for the table: rounded(), or more where the format has room inside. By its size alone."""

    def __len__(self) -> int:
        """The number of rows."""

    def encode(self) -> bytes:
        """The table as it stands in memory."""

    def describe(self, at: int) -> str:
        """What the byte at offset `at` of the table is about."""

    def context(self) -> dict[str, Any]:
        """What the template sees of it."""

    def arrays(self) -> dict[str, Array]:
        """All of it as arrays, for a file."""


@dataclass(frozen=True)
class Source:
    """A file that a kernel with a table compiles in: a template and what it sees."""

    template: str
    values: dict[str, Any] = field(default_factory=dict)


class Format(ABC):
    """A binary format. Its attributes are data that a rule is checked against."""

    name: ClassVar[str]
    template: ClassVar[str]  # the default one of a rule
    rows: ClassVar[str] = ""  # the only rows that it is for, as in select.rows; any if empty
    has_fields: ClassVar[bool] = False  # whether the rule says the fields of a row

    @abstractmethod
    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Contents, dict[str, int]]:
        """The contents that `rule` asks for, true of `image`; the counts of references that it ignores, by kind.
        Raises BuildplugError."""

    @abstractmethod
    def empty(self, rule: Rule, arch: Arch) -> Contents:
        """The contents of the table in the draft link."""

    @abstractmethod
    def from_arrays(self, rule: Rule, arch: Arch, kept: dict[str, Array]) -> Contents:
        """The contents whose arrays() these are. May raise anything."""

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Contents | None:
        """The contents of the table that stands at address `at` of an image that was linked before, as `data`, for a
        link with the same; None if that cannot be told. Raises BuildplugError."""
        return None

    def truth(self, image: Image, rule: Rule, ops: Ops | None, data: bytes, at: int) -> Contents:
        """make(), for a table that stands at address `at` of the image as `data`. Raises BuildplugError."""
        return self.make(image, rule, ops)[0]

    def differences(self, image: Image, rule: Rule, truth: Contents, data: bytes, at: int) -> list[str]:
        """How a table that stands at address `at` as `data` differs from the true one, as text. Behind it, there must
        be zeros."""
        expected = truth.encode()
        true, found = expected.ljust(len(data), b"\0"), data.ljust(len(expected), b"\0")
        if true == found:
            return []
        place = int(np.argmax(np.frombuffer(true, "u1") != np.frombuffer(found, "u1")))
        said = f"byte +{place:#x} is {found[place]:#04x}, the image says {true[place]:#04x}"
        return [f"{truth.describe(place)}: {said}"]

    def runtime(self, arch: Arch, *, has_ops: bool) -> dict[str, Source]:
        """File name -> what any kernel with tables of this format compiles in. `has_ops`: whether one has ops."""
        return {}

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        """File name -> what a kernel compiles in for the table of `rule`."""
        return {}
