"""The links of a stage, and what is assembled for them.

It reads no image: what does imports numpy and more, and a build that changes something has time for that while the
linker runs.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.linker import fragment
from buildplug.stage.build import Build
from buildplug.stage.linker import TableFiles
from buildplug.stage.notes import Assembled, Linked


@frozen
class Linking(Build):
    """How the image is linked, with tables that are there."""

    def place_tables(self) -> None:
        """Writes the script that places the tables."""
        places = self.places()
        files.write(self.placement, fragment.placement([table.rule for table in self.tables], places))
        files.write(self.script, places.script)

    def assemble_all(self, texts: list[Path]) -> Assembled:
        """Assembles or compiles texts, with the kernel's own flags. What was written as an object has none."""
        texts = [text for text in texts if text.exists()] if self.direct else texts
        return Assembled(tuple(map(tuple, self.linker.assemble([(text, self.object_of(text)) for text in texts]))))

    def link_draft(self, draft: Path, why: str) -> Linked:
        """Links the image that the tables are extracted from. `why`: the reason to use empty tables; if "", tries the
        previous tables, whose objects are at the paths of the new ones: relink() then only overwrites them if they
        fit."""
        for path in self.kept.values():
            path.unlink(missing_ok=True)
        if not why:
            try:
                linked = self.link(self.inputs, draft)
            except BuildplugError:
                # maybe only for lack of room: retry with empty ones
                why = "the link with tables of the expected sizes failed"
            else:
                for path, copy in self.kept.items():
                    shutil.copy(path, copy)
                return linked
        missing = [text for text in self.stubs if not self.object_of(text).exists()]
        self.assemble_all(missing)
        return replace(self.link(self.stub_objects, draft), why=why)

    def is_with_previous(self) -> bool:
        """Whether the draft was linked with the previous tables."""
        return all(path.exists() for path in self.kept.values())

    def digests(self) -> dict[str, str]:
        """The inputs that add the tables to the relink: name -> SHA-256. Empty if any is missing."""
        found = {path.name: files.digest(path) for path in self.inputs if path.exists()}
        return found if len(found) == len(self.inputs) else {}

    def link(self, inputs: list[Path], output: Path) -> Linked:
        first = [path for table, path in zip(self.tables, inputs, strict=False) if table.rule.table.first]
        rest = [path for path in inputs if path not in first]
        return self.linker.link(TableFiles(self.placement, self.script, tuple(rest), tuple(first)), output)
