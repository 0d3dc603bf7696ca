"""Families of linkers that take the same options, as data."""

from collections.abc import Sequence
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.base.records import frozen


@frozen
class Family:
    """Linkers that differ only in their versions."""

    says: str  # a part of what they say of their version
    program: str  # what a compiler driver looks for, by -fuse-ld
    inserts: bool = True  # takes INSERT beside a linker script, which places the tables there
    refused: str = ""  # why not even a link without a linker script gets tables
    percent_is_output: bool = False  # in the name of a map
    keeps_assigned: bool = False  # output sections without inputs stay if symbols are assigned in them
    hides: bool = False  # hidden symbols are local in any image; else in shared objects
    # Behind an assignment to the dot, symbols belong to the next output section, unless `_end` is assigned before that.
    dot_moves_on: bool = False
    aliases_numbers: bool = False  # another name of a symbol that is assigned between output sections is a number

    def unusable(self, *, placed: bool) -> str:
        """Why a link gets no tables, empty if it does. placed: by a linker script or the configuration."""
        reason = "it has no SECTIONS in linker scripts, which place tables beside yours"
        return self.refused or (reason if placed and not self.inserts else "")


FAMILIES = (  # the first that fits: some call themselves compatible with another
    Family("mold", "ld.mold", inserts=False),
    Family("GNU gold", "ld.gold", inserts=False, refused="it has no INSERT, which places tables"),
    Family("LLD", "ld.lld", keeps_assigned=True, hides=True),
    Family("GNU ld", "ld.bfd", percent_is_output=True, dot_moves_on=True, aliases_numbers=True),
)


def by_version(text: str) -> Family | None:
    """The family of a linker that says this of its version."""
    return next((family for family in FAMILIES if family.says in text), None)


def of(ld: str, flavor: Sequence[str] = ()) -> Family:
    """The family of a linker; flavor: the words without which rust-lld is none. Raises BuildplugError."""
    text = run([ld, *flavor, "--version"], Path.cwd(), "say its version").output.partition("\n")[0]
    if (family := by_version(text)) is None:
        raise BuildplugError(
            ld, f"expected GNU ld, lld or mold, found a linker that says {text!r}", "name one with --ld"
        )
    return family
