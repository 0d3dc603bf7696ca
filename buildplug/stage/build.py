"""What the passes are given of a build, and the paths of the files that they write."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.project import WantedTable
from buildplug.linker.script import Placement
from buildplug.stage.linker import Linker
from buildplug.tables.registry import template_of


def blob_path(text: Path) -> Path:
    """The path of the binary that a table's source includes."""
    return text.with_suffix(".bin")


@frozen
class Build:
    """The tables of one image, and how its build links and assembles. A "text" is a generated source, C or assembly."""

    tables: tuple[WantedTable, ...]
    arch: Arch
    root: Path  # base of the paths of the user's templates
    places: Callable[[], Placement]
    generated: Path  # output folder of generated files
    object_of: Callable[[Path], Path]  # text -> path of its object
    linker: Linker
    scripts: bool  # whether the user has linker scripts
    direct: bool = False  # whether tables that are bytes alone become objects without text and assembler

    @property
    def placement(self) -> Path:
        """The linker script that places the tables."""
        return self.generated / "tables.lds"

    @property
    def script(self) -> Path:
        """The linker script that replaces the user's; may be empty."""
        return self.generated / "script.lds"

    @property
    def anchors(self) -> Path:
        """The last input of a link: defines the addresses of the sections that tables refer to. A linker script if the
        user has scripts. With GNU ld's default script, that would reorder sections, and with -pie change their layout:
        then it is assembly, and verify() fills the addresses in."""
        return self.generated / ("anchors.lds" if self.scripts else "anchors.S")

    @cached_property
    def stubs(self) -> list[Path]:
        """The texts of the draft's empty tables."""
        return self._texts("stub")

    @cached_property
    def texts(self) -> list[Path]:
        """The texts of the tables."""
        return self._texts("table")

    @property
    def stub_objects(self) -> list[Path]:
        return [self.object_of(text) for text in self.stubs]

    @property
    def assembled(self) -> list[Path]:
        """The texts to assemble for the relink."""
        return self.texts if self.scripts else [*self.texts, self.anchors]

    @property
    def objects(self) -> list[Path]:
        return [self.object_of(text) for text in self.assembled]

    @property
    def inputs(self) -> list[Path]:
        """The inputs that add the tables to the relink."""
        return [*self.objects, *([self.anchors] if self.scripts else [])]

    @property
    def kept(self) -> dict[Path, Path]:
        """inputs -> the copy of each that the draft was linked with, as new files overwrite them."""
        objects = [*self.objects, *([self.object_of(self.anchors)] if self.scripts else [])]
        return {path: o.with_name(f"{o.name}.previous") for path, o in zip(self.inputs, objects, strict=True)}

    @property
    def extracted(self) -> list[Path]:
        """The files that extract() writes."""
        return [self.generated / f"{t.rule.symbol}.npz" for t in self.tables]

    def _texts(self, what: str) -> list[Path]:
        suffixes = [Path(template_of(t.rule)).with_suffix("").suffix for t in self.tables]
        return [self.generated / f"{t.rule.symbol}_{what}{s}" for t, s in zip(self.tables, suffixes, strict=True)]
