"""The passes, in order, as doit tasks. Between them lie files, so that each runs only when its own inputs changed.

A dodo.py of one's own gets them with `def task_kernel(): return buildplug.pipeline.tasks("buildplug.toml")`.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed
from doit.tools import config_changed

from buildplug import config, contents, files, identity, ninjafile, record, render
from buildplug.config import Config, WantedTable
from buildplug.contents import Contents
from buildplug.elf import Image
from buildplug.errors import BuildplugError
from buildplug.fixup import fixup, memory_of
from buildplug.link import included, link
from buildplug.rules import Rule, shipped
from buildplug.table import ERRORS, Table
from buildplug.toolchain import run
from buildplug.verify import TableProof, prove_table, rewrite, verify

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


def _blob_path(text: Path) -> Path:
    """Where the bytes of a table are that its text includes."""
    return text.with_suffix(".bin")


class Pipeline:
    """The passes of one kernel."""

    def __init__(self, wanted: Config, explain: bool):
        self.config, self.explain = wanted, explain
        generated = wanted.generated
        if not wanted.tables:
            raise BuildplugError(wanted.path, "expected a [[table]], found none", "add one with its rule")
        self.placement, self.anchors = generated / "tables.lds", generated / "anchors.lds"
        suffixes = [Path(t.rule.template).with_suffix("").suffix for t in wanted.tables]
        self.stubs = [generated / f"{t.rule.symbol}_stub{s}" for t, s in zip(wanted.tables, suffixes, strict=True)]
        self.texts = [generated / f"{t.rule.symbol}_table{s}" for t, s in zip(wanted.tables, suffixes, strict=True)]
        self.relinked = wanted.build / f"{wanted.kernel.name}.relinked"
        self.extracted = [generated / f"{t.rule.symbol}.npz" for t in wanted.tables]
        self.runtime = self._runtime()
        self.sources = [wanted.root / name for name in wanted.sources]
        self.sources += [generated / name for name in self.runtime if not name.endswith(".h")]
        self.objects = [ninjafile.object_of(wanted, source) for source in self.sources]
        self.stub_objects = [ninjafile.object_of(wanted, text) for text in self.stubs]
        self.table_objects = [ninjafile.object_of(wanted, text) for text in self.texts]
        self.link_inputs = self.objects + [wanted.root / name for name in wanted.link.objects]
        if wanted.link.script:
            self.link_inputs.append(wanted.root / wanted.link.script)
        self.notes = {name: wanted.build / "notes" / f"{name}.json" for name in PASSES[:-1]}

    def tasks(self) -> Iterator[dict[str, Any]]:
        c = self.config
        rules = [path for table in c.tables for path in table.files]
        links = [[c.toolchain.ld, *c.link.flags], c.link, identity.program(c.toolchain.ld)]
        templates = sorted({*shipped("templates").glob("*.j2"), *c.root.glob("**/*.j2")})
        assembler = [ninjafile.compiler(c, suffix) for suffix in (".c", ".S")] + [identity.program(c.toolchain.cc)]
        draft, relink = (self._read_by(output) for output in (c.draft, self.relinked))
        tables = [self.placement, *self.table_objects, self.anchors]
        inputs = [*(c.root / name for name in c.sources), c.root / c.path.name, *rules]
        yield self._task("compile", self.compile, [], [])  # ninja decides what there is to do
        yield self._task("draft", self.draft, [*draft, *self.stub_objects, self.placement], [c.draft], links)
        yield self._task("extract", self.extract, [c.draft, *rules], self.extracted, c.tables)
        yield self._task(
            "generate", self.generate, [*self.extracted, *templates], [*self.texts, self.anchors], c.tables
        )
        yield self._task("assemble", self.assemble, self.texts, self.table_objects, assembler)
        yield self._task("relink", self.relink, [*relink, *tables], [self.relinked], links)
        verified = self._task("verify", self.verify, [c.draft, self.relinked, *rules], [c.image], c.tables)
        yield verified | {"uptodate": [*verified["uptodate"], self._image_is_untouched]}
        yield self._task("record", self.record, [c.image, *self.notes.values(), *inputs], [self.record_path])

    def _read_by(self, output: Path) -> list[Path]:
        """The inputs of a link: those that we name, and of the last link what scripts included."""
        ours = {*self.link_inputs, *self.stub_objects, *self.table_objects, self.placement, self.anchors}
        return self.link_inputs + [path for path in included(self.config, output) if path not in ours and path.exists()]

    def _image_is_untouched(self) -> bool:
        """Whether the image is the file that verify left."""
        if not (self.config.image.exists() and self.notes["verify"].exists()):
            return False
        return bool(json.loads(files.read(self.notes["verify"])).get("image") == identity.stamp(self.config.image))

    @property
    def record_path(self) -> Path:
        return self.config.build / f"{self.config.kernel.name}.buildplug.json"

    def compile(self) -> Note | None:
        """Writes the runtime, and has ninja compile what changed."""
        for name, text in self.runtime.items():
            files.write(self.config.generated / name, text)
        c, rules = self.config, [table.rule for table in self.config.tables]
        for rule, stub in zip(rules, self.stubs, strict=True):
            self._write_table(rule, contents.empty(rule, c.arch), 0, stub)
        files.write(self.placement, render.placement(rules, c.link.after, c.root))
        log = self.config.build / ".ninja_log"
        before = log.stat().st_mtime_ns if log.exists() else 0
        texts = [*self.stubs, *self.texts]
        known = {self.placement, self.anchors, *texts, *map(_blob_path, texts), *self.extracted}
        for path in {*c.generated.iterdir()} - known - {c.generated / name for name in self.runtime}:
            path.unlink()  # of a table that is no longer wanted
        said = ninjafile.compile_all(self.config, [*self.sources, *self.stubs], explain=self.explain)
        sys.stderr.write(said)
        return {} if log.stat().st_mtime_ns != before or not self.notes["compile"].exists() else None

    def draft(self) -> Note:
        """Links with empty tables: the image that the tables are made from."""
        return self._link(self.stub_objects, self.config.draft)

    def extract(self) -> Note:
        """Finds the references, and checks that inline code may stand where it would."""
        from buildplug import clobbers  # imports capstone: not for a build with nothing to do

        draft, counts = Image(self.config.draft), {}
        for table, path in zip(self.config.tables, self.extracted, strict=True):
            made, left = contents.make(draft, table.rule, table.ops)
            if table.ops and isinstance(made, Table):
                clobbers.check(draft, table.rule, table.ops, made)
            contents.save(made, path)
            counts[table.rule.name] = {"rows": len(made), "left": left}
        return {"tables": counts}

    def generate(self) -> Note:
        """Renders the tables, and the script that tells them where the sections are."""
        c = self.config
        made = [contents.load(path, t.rule, c.arch) for t, path in zip(c.tables, self.extracted, strict=True)]
        for table, content, text in zip(c.tables, made, self.texts, strict=True):
            self._write_table(table.rule, content, table.slack, text)
        files.write(self.anchors, render.anchors([(t.rule, m) for t, m in zip(c.tables, made, strict=True)], c.root))
        return {}

    def assemble(self) -> Note:
        """Makes the tables' objects, with the kernel's own flags."""
        commands = []
        for text, output in zip(self.texts, self.table_objects, strict=True):
            command = [*ninjafile.compiler(self.config, text.suffix), "-c", ninjafile.relative(self.config, text)]
            with files.replacing(output) as scratch:
                run([*command, "-o", ninjafile.relative(self.config, scratch)], self.config.root, "assemble a table")
            commands.append([*command, "-o", ninjafile.relative(self.config, output)])
        return {"command": commands}

    def relink(self) -> Note:
        """The only relink."""
        return self._link([*self.table_objects, self.anchors], self.relinked)

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
            for wanted in c.tables:
                self._try_fixup(Image(scratch), wanted)
            scratch.chmod(scratch.stat().st_mode | (scratch.stat().st_mode & 0o444) >> 2)
        return {
            "tables": {table.rule.name: self._about(final, table) for table in proof.tables},
            "sections": proof.sections,
            "moved": list(proof.moved),
            "rewritten": [t.rule.name for t in untrue],
            "image": identity.stamp(c.image),
        }

    def _try_fixup(self, final: Image, wanted: WantedTable) -> None:
        """Has the reference check what the kernel will check at boot, for every backend."""
        memory, start, end = memory_of(final)
        at = final.address_of(wanted.rule.symbol) or 0
        for name in wanted.ops.backends if wanted.ops else ():
            backend = final.address_of(f"{wanted.rule.symbol}_{name}") or 0
            status = fixup(final.arch, memory, at, backend, start, end, dry=True)
            if status.error != "ok":
                raise BuildplugError(
                    self.config.image,
                    f"rule {wanted.rule.name}, backend {name}, entry {status.entry}: {ERRORS[status.error]}",
                    "the kernel would refuse the table at boot; see the generated table for the entry",
                )

    def _about(self, final: Image, proof: TableProof) -> Note:
        """A table in the record."""
        rule, size = proof.rule, final.section(proof.rule.section).size
        about = {"symbol": rule.symbol, "section": rule.section, "rows": len(proof.truth), "bytes": size}
        return about | ({"ops": list(proof.truth.op_names)} if isinstance(proof.truth, Table) else {})

    def record(self) -> None:
        c = self.config
        inputs = {
            *ninjafile.inputs(c),
            *included(c, c.draft),
            *(p for t in c.tables for p in t.files),
            c.root / c.path.name,
        }
        record.write_record(c, self.notes, sorted(p for p in inputs if p.exists() and not p.is_relative_to(c.build)))

    def _runtime(self) -> dict[str, str]:
        c = self.config
        texts: dict[str, str] = {}
        for table in c.tables:
            texts |= render.table_files(c.arch, table.rule, table.ops, c.root)
        runtime = render.runtime(c.arch, c.root)
        wanted = {name for table in c.tables for name in render.RUNTIME.get(table.rule.format, ())}
        if not any(table.ops for table in c.tables):
            wanted.discard("fixup.c")
        return {name: text for name, text in runtime.items() if name in wanted} | texts

    def _write_table(self, rule: Rule, content: Contents, slack: int, text: Path) -> None:
        blob = render.blob_of(content)
        if blob is not None:
            files.write(_blob_path(text), blob)
        # by its name alone, as the text is the same in every build directory: the compiler is given the folder
        files.write(text, render.table(rule, content, slack, self.config.root, _blob_path(text).name))

    def _link(self, tables: list[Path], output: Path) -> Note:
        command, said = link(self.config, self.sources, self.placement, tables, output)
        sys.stderr.write(said)
        return {"command": command, "links": 1}

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
            "uptodate": [config_changed(repr((identity.ours(), settings)))] if depends else [False],
            "verbosity": 2,  # what compilers and linkers warn of is the user's
            "doc": (action.__doc__ or name).partition("\n")[0],
        }
