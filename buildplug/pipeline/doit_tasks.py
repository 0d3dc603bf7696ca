"""The passes, in order, as doit tasks. Each leaves its results in files, and runs only when its own inputs changed."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed
from doit.task import Task
from doit.tools import config_changed

from buildplug.base import data, files, fingerprints
from buildplug.base.errors import BuildplugError, inform
from buildplug.config.project import Config
from buildplug.linker import command_line, family, unusable
from buildplug.linker.command_line import LinkLine
from buildplug.linker.script import Placement, place
from buildplug.pipeline import compiler, ninja
from buildplug.pipeline.link import ProjectLinker, included
from buildplug.record.build import NOTES, RECORD, Recorded, Timed, read_note, tools, write_note, write_record
from buildplug.stage import sources
from buildplug.stage.ahead import look_ahead
from buildplug.stage.build import blob_path
from buildplug.stage.linking import Linking
from buildplug.stage.notes import Assembled, Compiled, Extracted, Generated, Linked, Verified

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from buildplug.image.elf import Image
    from buildplug.stage.passes import Stage

PASSES = ("compile", "draft", "extract", "generate", "assemble", "relink", "verify", "record")
FIRST = "nothing was linked here before"


class PassFailed(TaskFailed):  # type: ignore[misc]
    """Reports an error to doit, and keeps the error itself."""

    def __init__(self, error: BuildplugError):
        super().__init__(f"{error.output}{error}")
        self.error = error


class Pipeline:
    """The passes of one kernel."""

    def __init__(self, wanted: Config, explain: bool):
        self.config, self.explain = wanted, explain
        self.why_empty = ""  # why the draft has been linked with empty tables, unless it is the first one
        if not wanted.tables:
            raise BuildplugError(wanted.path, "expected a [[table]], found none", "add one with its rule")
        if not wanted.sources:
            raise BuildplugError(wanted.path, "expected sources to compile, found none", "add them to [compile]")
        unusable.check(self._line)
        self.draft_link = wanted.build / "obj" / wanted.draft.name  # verify makes of it what the user sees
        self.relinked = wanted.build / f"{wanted.kernel.name}.relinked"
        compilers = [compiler.compiler(wanted, suffix) for suffix in (".c", ".S")]
        self.assembler = (compilers, fingerprints.program(wanted.toolchain.cc))  # what assembles tables
        self.tables = fingerprints.of(wanted.tables)
        self.settings = fingerprints.of(wanted.arch.name, self.tables, self.assembler)
        self.notes = {name: wanted.build / "notes" / f"{name}.json" for name in PASSES}
        noted = read_note(self.notes["compile"], Compiled)
        self.known = noted is not None and noted.settings == fingerprints.of(self.settings, noted.runtime)
        self.runtime = noted.runtime if noted and self.known else tuple(sources.names(wanted.tables, wanted.arch))
        self.sources = [wanted.root / name for name in wanted.sources]
        self.sources += [wanted.generated / name for name in self.runtime if not name.endswith(".h")]
        self.linking = Linking(
            wanted.tables, wanted.arch, wanted.root, self._places, wanted.generated,
            wanted.object_of, ProjectLinker(wanted, self.sources, self._look_ahead), bool(self._line.scripts),
        )  # fmt: skip
        self.objects = [wanted.object_of(source) for source in self.sources]
        self.link_inputs = self.objects + [wanted.root / name for name in wanted.link.objects]
        if wanted.link.script:
            self.link_inputs.append(wanted.root / wanted.link.script)

    @cached_property
    def stage(self) -> "Stage":
        """The passes behind the link."""
        from buildplug.stage.passes import Stage  # lazy: it reads images, which takes long to import

        return Stage(*(getattr(self.linking, field.name) for field in fields(self.linking)))

    def tasks(self) -> Iterator[dict[str, Any]]:
        c = self.config
        rules = [path for table in c.tables for path in table.files]
        links = [[c.toolchain.ld, *c.link.flags], c.link, fingerprints.program(c.toolchain.ld)]
        templates = [*data.templates(), *sources.templates(c)]
        wanted = [self.tables, *map(fingerprints.program, c.table_programs)]
        draft, relink = (self._read_by(output) for output in (self.draft_link, self.relinked))
        s, inputs = self.linking, [*(c.root / name for name in c.sources), c.root / c.path.name, *rules]
        tables = [s.placement, s.script, *s.objects, s.anchors, self.draft_link]
        yield self._task("compile", self.compile, [], [])  # ninja decides what there is to do
        yield self._task(
            "draft", self.draft, [*draft, *s.stub_objects, s.placement, s.script], [self.draft_link], links,
            self.draft_link,
        )  # fmt: skip
        yield self._task("extract", self.extract, [self.draft_link, *rules], s.extracted, wanted)
        yield self._task("generate", self.generate, [*s.extracted, *templates], [*s.texts, s.anchors], self.tables)
        yield self._task("assemble", self.assemble, s.assembled, s.objects, self.assembler)
        yield self._task("relink", self.relink, [*relink, *tables], [self.relinked], links, self.relinked)
        verified = self._task(
            "verify", self.verify, [self.draft_link, self.relinked, *rules], [c.image, c.draft], wanted
        )
        yield verified | {"uptodate": [*verified["uptodate"], self._image_is_untouched]}
        notes = [path for name, path in self.notes.items() if name != "record"]
        recorded = self._task("record", self.record, [c.image, *notes, *inputs], [self.record_path])
        yield recorded | {"uptodate": [*recorded["uptodate"], self._record_is_untouched]}

    def _read_by(self, output: Path) -> list[Path]:
        """The inputs of a link: those that we name, and the files that linker scripts included the last time."""
        s = self.linking
        ours = {*self.link_inputs, *s.stub_objects, *s.objects, s.placement, s.script, s.anchors}
        read = [path for path in included(self.config, output) if Path(os.path.normpath(path)) not in ours]
        return self.link_inputs + [path for path in read if path.exists()]

    def _image_is_untouched(self) -> bool:
        """Whether the image is still the file that verify wrote."""
        noted = read_note(self.notes["verify"], Verified)
        image = self.config.image
        return noted is not None and image.exists() and noted.image == tuple(fingerprints.stamp(image))

    def _record_is_untouched(self) -> bool:
        """Whether the record is still the file that the pass `record` wrote."""
        noted = read_note(self.notes["record"], Recorded)
        return noted is not None and self.record_path.exists() and noted.digest == files.digest(self.record_path)

    @property
    def record_path(self) -> Path:
        return self.config.build / f"{self.config.kernel.name}{RECORD}"

    def compile(self) -> Compiled | None:
        """Writes the runtime, and has ninja compile what changed. Returns None if nothing changed."""
        s = self.linking
        self._write_sources()
        log = self.config.build / ".ninja_log"
        before = log.stat().st_mtime_ns if log.exists() else 0
        tables = [*s.stubs, *s.texts]
        known = {s.placement, s.script, s.anchors, *tables, *map(blob_path, tables), *s.extracted}
        for path in {*s.generated.iterdir()} - known - {s.generated / name for name in self.runtime}:
            path.unlink()  # of a table that is no longer wanted
        said = ninja.compile_all(self.config, [*self.sources, *s.stubs], explain=self.explain)
        sys.stderr.write(said)
        changed = log.stat().st_mtime_ns != before or not self._is_noted("compile")
        return Compiled(fingerprints.of(self.settings, self.runtime), self.runtime) if changed else None

    def _write_sources(self) -> None:
        """Writes the sources of the runtime and of empty tables, unless they are there, and the linker script."""
        c = self.config
        made = [*(c.generated / name for name in self.runtime), *self.linking.stubs]
        there = all(path.exists() for path in made)  # what was damaged has been removed
        if there and self.known and not sources.templates(c):
            self.linking.place_tables()
            return
        files.remove(self.notes["compile"])  # if this fails, it is to be done again
        for name, text in sources.texts(c.tables, c.arch, c.root).items():
            files.write(c.generated / name, text)
        self.stage.prepare()

    def draft(self) -> Linked:
        """Links the image that the tables are made from: with the previous tables or those that are expected of the
        objects, else with empty ones."""
        noted = read_note(self.notes["relink"], Linked)
        why = FIRST if noted is None else ""
        if noted and noted.settings != self.settings:
            why = "the previous tables were made by other rules, another compiler, or another buildplug"
        elif noted and (not noted.inputs or noted.inputs != self.linking.digests()):
            why = "the previous tables are not as they were linked"
        elif (verified := read_note(self.notes["verify"], Verified)) and verified.moved:
            # two links keep the relocations of the table that was extracted from the first
            why = "the linker moves parts of sections from link to link"
        if noted is None and (told := self.stage.foretell(self._expected)) is not None:
            why = told
        linked = self.linking.link_draft(self.draft_link, why)
        self.why_empty = linked.why if linked.why != FIRST else ""
        return linked

    def _expected(self) -> "Image | str":
        """What the first link will make."""
        from buildplug.stage.expected import expected  # lazy, as only a first link needs it

        c = self.config
        named = [c.root / name for name in (*self._line.inputs, *c.link.objects) if not name.endswith(".a")]
        return expected(self._line, [*self.objects, *named], self._places(), c.tables, family.of(c.toolchain.ld))

    def extract(self) -> Extracted:
        """Finds the references, and checks that inline code is safe at each of them."""
        return self.stage.extract(self.draft_link)

    def generate(self) -> Generated:
        """Renders the tables, and the linker script with the symbols that they need."""
        return self.stage.generate()

    def assemble(self) -> Assembled:
        """Assembles the tables, with the kernel's own flags."""
        return self.linking.assemble_all(self.linking.assembled)

    def relink(self) -> Linked:
        """Relinks once, or not at all if the new tables fit into the room of the previous ones."""
        done = self.stage.relink(self.draft_link, self.relinked)
        done = replace(done, settings=self.settings, inputs=self.linking.digests())
        if not done.links:
            files.read_ahead(self.draft_link)  # for the record
        elif why := done.why or self.why_empty:
            inform("RELINK", f"{self.config.kernel.name}: {why}")
        return done

    def verify(self) -> Verified:
        """Proves the tables true of the final image, after rewriting them if the linker moved what they describe."""
        c, noted = self.config, read_note(self.notes["relink"], Linked)
        filled = noted is not None and not noted.links
        verified = self.stage.verify(self.draft_link, self.relinked, c.image, filled=filled)
        # A draft with the previous tables is as the builds before made it: nobody is to compare with that.
        with files.replacing(c.draft) as scratch:
            if self.linking.is_with_previous() and verified.rewritten:
                shutil.copy(c.image, scratch)
            else:  # not with the image, which is the user's to change
                files.share(self.relinked if self.linking.is_with_previous() else self.draft_link, scratch)
        return verified

    def record(self) -> Recorded:
        """Writes what was done."""
        files.read_ahead(self.config.image, self.config.draft)
        inputs = {*self._named, *included(self.config, self.draft_link)}
        return write_record(self.config, self.record_path, self.notes, sorted(p for p in inputs if p.exists()))

    @cached_property
    def compiled_from(self) -> list[Path]:
        """What the compilers have read; not before the pass `compile`."""
        return ninja.inputs(self.config)

    @cached_property
    def _named(self) -> set[Path]:
        """The inputs of the image, but for what the linker finds by itself."""
        c = self.config
        rules = (path for table in c.tables for path in table.files)
        return {*self.compiled_from, *rules, *sources.templates(c), c.root / c.path.name}

    def _look_ahead(self) -> None:
        modules = ("buildplug.stage.passes", "buildplug.stage.templating")
        look_ahead(self.config.tables, modules, lambda: (*tools(self.config), *map(files.digest, self._named)))

    @cached_property
    def _line(self) -> LinkLine:
        """What the configuration says of a link."""
        link = self.config.link
        return command_line.parse([*link.flags, *(["-T", link.script] if link.script else [])])

    def _places(self) -> Placement:
        names = (self._line.scripts, self._line.folders)
        return place(self.config, *([self.config.root / name for name in some] for some in names))

    def _is_noted(self, name: str) -> bool:
        """Whether the note of a pass can be read; else it runs again."""
        return None not in (read_note(self.notes[name], kind) for kind in (NOTES[name], Timed))

    def _task(
        self, name: str, action: "Callable[[], DataclassInstance | None]", depends: list[Path], targets: list[Path],
        settings: object = None, linked: Path | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        def act(task: Task) -> PassFailed | None:
            started = time.monotonic()
            try:
                note = action()
                if note is not None:
                    write_note(self.notes[name], note, time.monotonic() - started)
                if linked:  # the next build asks whether what this link has read changed
                    task.file_dep.update(map(str, self._read_by(linked)))
            except BuildplugError as error:
                if name != PASSES[0]:  # as a linker that fails: else the image of an earlier build is booted
                    files.remove(self.config.image, self.config.draft, self.record_path)
                return PassFailed(error)
            return None

        return {
            "basename": name,
            "actions": [act],
            "file_dep": [str(path) for path in depends],
            "targets": [str(path) for path in targets],
            "task_dep": [PASSES[PASSES.index(name) - 1]] if name != PASSES[0] else [],
            "uptodate": [
                config_changed(fingerprints.of(settings)) if depends else False,
                partial(self._is_noted, name),
            ],
            "verbosity": 2,  # what compilers and linkers warn of is the user's
            "doc": (action.__doc__ or name).partition("\n")[0],
        }
