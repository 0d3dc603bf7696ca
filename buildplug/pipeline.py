"""The passes, in order, as doit tasks. Between them lie files, so that each runs only when its own inputs changed.

A dodo.py of one's own gets them with `def task_kernel(): return buildplug.pipeline.tasks("buildplug.toml")`.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed
from doit.tools import config_changed

from buildplug import clobbers, config, files, ninjafile, record, render
from buildplug.config import Config
from buildplug.elf import Image
from buildplug.errors import BuildplugError
from buildplug.link import link
from buildplug.ops import table_of
from buildplug.rules import shipped
from buildplug.table import load, save
from buildplug.toolchain import run
from buildplug.verify import prove_table, rewrite, verify

PASSES = ("compile", "draft", "extract", "generate", "assemble", "relink", "verify", "record")

Note = dict[str, Any]


class PassFailed(TaskFailed):  # type: ignore[misc]
    """How a pass tells doit of an error; the error itself stays at hand."""

    def __init__(self, error: BuildplugError):
        super().__init__(f"{error.output}{error}")
        self.error = error


def tasks(
    path: str | Path = "buildplug.toml", build: Path | None = None, *, explain: bool = False
) -> Iterator[dict[str, Any]]:
    """The doit tasks that build what the configuration at `path` says. Raises BuildplugError."""
    yield from Pipeline(config.read(Path(path), build), explain).tasks()


class Pipeline:
    """The passes of one kernel."""

    def __init__(self, wanted: Config, explain: bool):
        self.config, self.explain = wanted, explain
        generated = wanted.generated
        if not wanted.tables:
            raise BuildplugError(wanted.path, "expected a [[table]], found none", "add one with its rule")
        self.stub, self.placement = generated / "stub.S", generated / "tables.lds"
        self.tables_text, self.anchors = generated / "tables.S", generated / "anchors.lds"
        self.tables_object = wanted.build / "obj" / "tables.o"
        self.relinked = wanted.build / f"{wanted.kernel.name}.relinked"
        self.extracted = [generated / f"{t.rule.symbol}.npz" for t in wanted.tables]
        self.runtime = self._runtime()
        self.sources = [wanted.root / name for name in wanted.sources]
        self.sources += [generated / name for name in self.runtime if not name.endswith(".h")]
        self.objects = [ninjafile.object_of(wanted, source) for source in self.sources]
        self.link_inputs = self.objects + [wanted.root / name for name in wanted.link.objects]
        if wanted.link.script:
            self.link_inputs.append(wanted.root / wanted.link.script)
        self.notes = {name: wanted.build / "notes" / f"{name}.json" for name in PASSES[:-1]}

    def tasks(self) -> Iterator[dict[str, Any]]:
        c = self.config
        rules = [path for table in c.tables for path in table.files]
        links = [c.toolchain.ld, *c.link.flags, c.link.script, c.link.after]
        stub = ninjafile.object_of(c, self.stub)
        templates = sorted(shipped("templates").glob("*.j2"))
        yield self._task("compile", self.compile, [], [])  # ninja decides what there is to do
        yield self._task("draft", self.draft, [*self.link_inputs, stub, self.placement], [c.draft], links)
        yield self._task("extract", self.extract, [c.draft, *rules], self.extracted, c.tables)
        yield self._task(
            "generate", self.generate, [*self.extracted, *templates], [self.tables_text, self.anchors], c.tables
        )
        yield self._task("assemble", self.assemble, [self.tables_text], [self.tables_object], c.compile.asflags)
        tables = [self.placement, self.tables_object, self.anchors]
        yield self._task("relink", self.relink, [*self.link_inputs, *tables], [self.relinked], links)
        yield self._task("verify", self.verify, [c.draft, self.relinked, *rules], [c.image])
        yield self._task("record", self.record, [c.image, *self.notes.values()], [self.record_path])

    @property
    def record_path(self) -> Path:
        return self.config.build / f"{self.config.kernel.name}.buildplug.json"

    def compile(self) -> Note | None:
        """Writes the runtime, and has ninja compile what changed."""
        for name, text in self.runtime.items():
            files.write(self.config.generated / name, text)
        rules = [table.rule for table in self.config.tables]
        files.write(self.stub, render.stub(self.config.arch, rules, self.config.root))
        files.write(self.placement, render.placement(rules, self.config.link.after, self.config.root))
        log = self.config.build / ".ninja_log"
        before = log.stat().st_mtime_ns if log.exists() else 0
        said = ninjafile.compile_all(self.config, [*self.sources, self.stub], explain=self.explain)
        sys.stderr.write(said)
        return {} if log.stat().st_mtime_ns != before or not self.notes["compile"].exists() else None

    def draft(self) -> Note:
        """Links with empty tables: the image that the tables are made from."""
        return self._link([ninjafile.object_of(self.config, self.stub)], self.config.draft)

    def extract(self) -> Note:
        """Finds the references, and checks that inline code may stand where it would."""
        draft, counts = Image(self.config.draft), {}
        for table, path in zip(self.config.tables, self.extracted, strict=True):
            rows, references = table_of(draft, table.rule, table.ops)
            if table.ops:
                clobbers.check(draft, table.rule, table.ops, rows)
            save(rows, path)
            counts[table.rule.name] = {"sites": len(rows.sites), "left": references.left}
        return {"tables": counts}

    def generate(self) -> Note:
        """Renders the tables, and the script that tells them where the sections are."""
        c = self.config
        tables = [(t.rule, load(path), t.slack) for t, path in zip(c.tables, self.extracted, strict=True)]
        files.write(self.tables_text, render.tables(c.arch, tables, c.root))
        names = [table.section_names for _, table, _ in tables]
        files.write(self.anchors, render.anchors(names, c.root))
        return {}

    def assemble(self) -> Note:
        command = ninjafile.compiler(self.config, ".S")
        with files.replacing(self.tables_object) as scratch:
            where = [ninjafile.relative(self.config, path) for path in (self.tables_text, scratch)]
            run([*command, "-c", where[0], "-o", where[1]], self.config.root, "assemble the tables")
        return {"command": [*command, "-c", where[0], "-o", ninjafile.relative(self.config, self.tables_object)]}

    def relink(self) -> Note:
        """The only relink."""
        return self._link([self.tables_object, self.anchors], self.relinked)

    def verify(self) -> Note:
        """Proves the tables true of the final image; makes them so if the linker moved what they speak of."""
        c, final = self.config, Image(self.relinked)
        proof = verify(Image(c.draft), final, [(t.rule, t.ops) for t in c.tables])
        if proof.changed:
            raise BuildplugError(
                self.relinked,
                f"the relink changed more than it moved: {'; '.join(proof.changed)}",
                "the linker, its script or its inputs depend on something else than the inputs",
            )
        untrue = [table for table in proof.tables if table.differences]
        with files.replacing(c.image) as scratch:
            shutil.copyfile(self.relinked, scratch)
            for table in untrue:
                rewrite(scratch, final, table)
            for wanted in c.tables if untrue else ():
                again = prove_table(Image(scratch), wanted.rule, wanted.ops)
                if again.differences:
                    raise BuildplugError(c.image, f"rule {wanted.rule.name}: {'; '.join(again.differences)}")
            scratch.chmod(scratch.stat().st_mode | (scratch.stat().st_mode & 0o444) >> 2)
        return {
            "tables": {
                t.rule.name: {"symbol": t.rule.symbol, "section": t.rule.section, "sites": len(t.truth.sites),
                              "ops": list(t.truth.op_names), "bytes": int(final.section(t.rule.section).size)}
                for t in proof.tables
            },
            "sections": proof.sections,
            "moved": list(proof.moved),
            "rewritten": [t.rule.name for t in untrue],
        }  # fmt: skip

    def record(self) -> None:
        c = self.config
        inputs = [c.root / name for name in c.sources] + [p for t in c.tables for p in t.files]
        inputs += [path for path in self.link_inputs if path not in self.objects]
        record.write_record(c, self.notes, [*inputs, c.root / c.path.name])

    def _runtime(self) -> dict[str, str]:
        c = self.config
        texts: dict[str, str] = {}
        for table in c.tables:
            texts |= render.backends(c.arch, table.rule, table.ops, c.root)
        runtime = render.runtime(c.arch, c.root)
        if not any(table.ops for table in c.tables):
            del runtime["fixup.c"]
        return runtime | texts

    def _link(self, tables: list[Path], output: Path) -> Note:
        return {"command": link(self.config, self.sources, self.placement, tables, output), "links": 1}

    def _task(
        self,
        name: str,
        action: Callable[[], Note | None],
        depends: list[Path],
        targets: list[Path],
        settings: object = None,
    ) -> dict[str, Any]:
        def act() -> PassFailed | None:
            started = time.monotonic()
            try:
                note = action()
                if note is not None:
                    note["seconds"] = round(time.monotonic() - started, 3)
                    record.write_note(self.notes[name], note)
            except BuildplugError as error:
                return PassFailed(error)
            return None

        return {
            "basename": name,
            "actions": [act],
            "file_dep": [str(path) for path in depends],
            "targets": [str(path) for path in targets],
            "task_dep": [PASSES[PASSES.index(name) - 1]] if name != PASSES[0] else [],
            "uptodate": [config_changed(repr(settings))] if depends else [False],
            "doc": (action.__doc__ or name).partition("\n")[0],
        }
