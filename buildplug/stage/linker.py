"""What a Stage needs from a build: how to link and how to assemble."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from buildplug.base.errors import BuildplugError
from buildplug.base.process import Completed
from buildplug.base.records import frozen
from buildplug.stage.notes import Linked


@frozen
class TableFiles:
    """What adds tables to a link. placement: the linker script that places them, passed before the user's scripts;
    script: replaces the user's, unless empty; inputs: objects and possibly scripts, in order, after the kernel's
    own; first: objects before the kernel's own."""

    placement: Path
    script: Path
    inputs: tuple[Path, ...]
    first: tuple[Path, ...] = ()


class LinkFailed(BuildplugError):
    """A link that fails as the user's own would. ended: the linker's result, if its output is not yet printed."""

    ended: Completed | None = None


class Linker(Protocol):
    """The two links of a build must differ only in the inputs that add the tables."""

    def link(self, tables: TableFiles, output: Path) -> Linked:
        """Links `output`. Raises BuildplugError."""

    def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
        """Assembles or compiles generated sources into objects, (text, object) each; returns the commands. Raises
        BuildplugError."""
