"""The passes' interface to a binary format: a `Format` makes `Contents` from an image, and names the sources that
a kernel compiles in to use them.

The formats themselves are listed in `registry`, each with the template that renders its tables.
"""

from abc import ABC, abstractmethod
from dataclasses import field
from typing import Any, ClassVar, Protocol

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image

SPARE = 32  # bytes at least, so that a section more, as the relink may have one, is no error


def rounded(size: int) -> int:
    """Bytes to reserve for a table of `size` bytes, with some spare for growth. Depends on the size alone, as an image
    must not depend on earlier builds."""
    granule = max(64, 1 << max(0, size.bit_length() - 4))
    return -(-(size + SPARE) // granule) * granule if size else 0


class Contents(Protocol):
    """The contents of a table, in any format. Immutable."""

    @property
    def arch(self) -> Arch: ...

    @property
    def section_names(self) -> tuple[str, ...]:
        """The sections whose addresses the linker fills in, in order of their anchors (Rule.anchor())."""

    @property
    def op_names(self) -> tuple[str, ...]:
        """The ops that rows refer to, by number; empty in most formats."""

    @property
    def blob(self) -> bytes | None:
        """The part of the table that is included as a binary file; None if the template renders all of it."""

    @property
    def bases_at(self) -> int | None:
        """The offset in encode() of the sections' addresses, a word each; None if the table is more than bytes and
        those, so that only its template says it."""

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The symbols by which the kernel's own code finds parts of the table, and their offsets in it; mostly none.
        Where there are any, the table holds the address of a section, plus `base_offset` of context()."""

    @property
    def room(self) -> int:
        """Bytes to reserve for the table: rounded(), unless the format pads inside. Depends on the size alone."""

    def __len__(self) -> int:
        """The number of rows."""

    def encode(self) -> bytes:
        """The table's bytes in memory."""

    def describe(self, at: int) -> str:
        """Which part of the table the byte at offset `at` belongs to."""

    def context(self) -> dict[str, Any]:
        """The template's variables."""


@frozen
class Source:
    """A generated file that the kernel compiles: its template and the template's variables."""

    template: str
    values: dict[str, Any] = field(default_factory=dict)


class Format(ABC):
    """A binary format. Rules are checked against its attributes."""

    name: ClassVar[str]
    # A dataclass: `rule` and `arch`, if it has them, and fields of types in saved.SAVED.
    contents: ClassVar[type[Contents]]
    rows: ClassVar[str] = ""  # the only select.rows it supports; any if empty
    has_fields: ClassVar[bool] = False  # whether the rule defines the fields of a row

    @abstractmethod
    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Contents, dict[str, int]]:
        """The contents that `rule` selects from `image`, and the number of ignored references by kind.
        Raises BuildplugError."""

    @abstractmethod
    def empty(self, rule: Rule, arch: Arch) -> Contents:
        """The contents of the table in the draft link."""

    def defines(self, rule: Rule) -> tuple[str, ...]:
        """The symbols of a rule's table."""
        return (rule.symbol,)

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Contents | None:
        """The contents of a previous image's table, bytes `data` at address `at`, to link with again; None if they
        cannot be recovered. Raises BuildplugError."""
        return None

    def outgrown(self, made: Contents, kept: Contents) -> str:
        """Why a table does not go into the room that was kept for another one, if the format knows more of that than
        the sizes of their objects say; else empty."""
        return ""

    def truth(self, image: Image, rule: Rule, ops: Ops | None, data: bytes, at: int) -> Contents:
        """make(), for the image's table, bytes `data` at address `at`. Raises BuildplugError."""
        return self.make(image, rule, ops)[0]

    def differences(self, image: Image, rule: Rule, truth: Contents, data: bytes, at: int) -> list[str]:
        """How a table, bytes `data` at address `at`, differs from the true one, as text. Padding after the table must
        be zero."""
        expected = truth.encode()
        true, found = expected.ljust(len(data), b"\0"), data.ljust(len(expected), b"\0")
        if true == found:
            return []
        place = int(np.argmax(np.frombuffer(true, "u1") != np.frombuffer(found, "u1")))
        said = f"byte +{place:#x} is {found[place]:#04x}, the image says {true[place]:#04x}"
        return [f"{truth.describe(place)}: {said}"]

    def runtime(self, arch: Arch, *, has_ops: bool) -> dict[str, Source]:
        """File name -> source shared by all tables of this format. `has_ops`: whether any table has ops."""
        return {}

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        """File name -> source for the table of `rule`."""
        return {}

    def rust(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        """File name -> source for the table of `rule` in a kernel in Rust, in place of all C; empty if it is read by C
        only."""
        return {}
