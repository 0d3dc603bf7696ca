"""What a Stage asks of a build: how it links and how it assembles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from buildplug.base.errors import BuildplugError
from buildplug.base.process import Completed
from buildplug.stage.notes import Linked


@dataclass(frozen=True)
class TableFiles:
    """What brings tables into a link. placement: the linker script that says their places, to be given before any of
    the user's; script: the one that takes the place of the user's, unless it is empty; inputs: objects, and maybe
    scripts, in their order, behind the kernel's own."""

    placement: Path
    script: Path
    inputs: tuple[Path, ...]


class LinkFailed(BuildplugError):
    """A link that fails as the user's own would. ended: how the linker ended, if its words are yet to be said."""

    ended: Completed | None = None


class Linker(Protocol):
    """Both links of a build must be the same but for the inputs that bring the tables."""

    def link(self, tables: TableFiles, output: Path) -> Linked:
        """Links `output`. Raises BuildplugError."""

    def assemble(self, text: Path, output: Path) -> list[str]:
        """Makes an object of a text; returns the command. Raises BuildplugError."""
