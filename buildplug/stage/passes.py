"""The passes that hold for any build: given how it links and how it assembles, a Stage makes the tables.

A build system's way in calls them one by one, with files in between (pipeline.py), or all at once: run().
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import repeat
from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.backends import cache_lines
from buildplug.base import files, fingerprints
from buildplug.base.errors import BuildplugError
from buildplug.base.process import Ended
from buildplug.config.ops import Ops
from buildplug.config.project import WantedTable
from buildplug.config.rule import Rule
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.linker.script import Placement
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import memory_of
from buildplug.stage import render
from buildplug.stage.notes import Assembled, Extracted, Found, Generated, Linked, TableRecord, Verified
from buildplug.stage.proof import TableProof, prove_table, rewrite, verify
from buildplug.tables import registry
from buildplug.tables.format import Contents
from buildplug.tables.registry import format_of, template_of
from buildplug.tables.sites_format import ERRORS, decode


class DraftFailed(Exception):
    """What `link` of a Stage raises if the first link fails, with how it ended, as then it is the user's that fails."""

    def __init__(self, ended: Ended):
        super().__init__(ended)
        self.ended = ended


def blob_path(text: Path) -> Path:
    """Where the bytes of a table are that its text includes."""
    return text.with_suffix(".bin")


@lru_cache(maxsize=2)
def _read(path: Path, stamp: tuple[int, ...]) -> Image:
    return Image(path)


def _image(path: Path) -> Image:
    """An image; the same object for a file that several passes read."""
    return _read(path, tuple(fingerprints.stamp(path))) if path.exists() else Image(path)


@dataclass(frozen=True)
class Stage:
    """The tables of one image, and how its build links and assembles.

    `link` is given the files that bring the tables, in their order, and the output; it also gives the linker the
    script `placement`, before any script of the user's, and `script`, unless it is empty, in place of the user's. Both
    links must be the same but for those files. It may raise DraftFailed.
    `assemble` is given a text and the object to make of it, and returns its command.
    """

    tables: tuple[WantedTable, ...]
    arch: Arch
    root: Path  # the user's templates are relative to it
    places: Callable[[], Placement]
    generated: Path  # the folder of what is made here
    object_of: Callable[[Path], Path]  # text -> where its object goes
    assemble: Callable[[Path, Path], list[str]]
    link: Callable[[list[Path], Path], Linked]
    scripts: bool  # whether the user has linker scripts
    _extracted: dict[Path, Contents] = field(default_factory=dict, init=False, repr=False)  # what this process found

    @property
    def placement(self) -> Path:
        """The linker script that places the tables."""
        return self.generated / "tables.lds"

    @property
    def script(self) -> Path:
        """The linker script that takes the place of the user's, or is empty."""
        return self.generated / "script.lds"

    @property
    def anchors(self) -> Path:
        """The linker script that says where the sections are which the tables speak of: the last input of a link.
        Where the linker has its own script, that would have GNU ld make sections in another order, and with -pie lay
        them out in another way: there it is a text for the assembler, and verify() puts the addresses in place."""
        return self.generated / ("anchors.lds" if self.scripts else "anchors.S")

    @cached_property
    def stubs(self) -> list[Path]:
        """The texts of the draft's tables, which are empty."""
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
        """The texts that are assembled for the relink."""
        return self.texts if self.scripts else [*self.texts, self.anchors]

    @property
    def objects(self) -> list[Path]:
        return [self.object_of(text) for text in self.assembled]

    @property
    def extracted(self) -> list[Path]:
        """What extract() leaves."""
        return [self.generated / f"{t.rule.symbol}.npz" for t in self.tables]

    def _texts(self, what: str) -> list[Path]:
        suffixes = [Path(template_of(t.rule)).with_suffix("").suffix for t in self.tables]
        return [self.generated / f"{t.rule.symbol}_{what}{s}" for t, s in zip(self.tables, suffixes, strict=True)]

    def run(self, draft: Path, relinked: Path, image: Path, last: Path | None = None) -> tuple[Verified, int]:
        """All passes in order; what the last says, and the number of links. Raises BuildplugError.

        `last`: what the same link has made before. Where the new tables need the room that they have there, a link with
        those, as the draft, has everything in its place, and the new ones are put into it: the same bytes by one link.
        """
        self.prepare()
        standing = self._standing(last) if last else []
        if not (standing and self._linked_with(standing, draft)):
            standing = []
            self.assemble_all(self.stubs)
            self.link_draft(draft)
        self.extract(draft)
        found = self._contents() if standing else []
        if found and all(map(_alike, standing, found)) and build_id.is_renewable(_image(draft)):
            return self.verify(draft, draft, image, found), 1
        self.generate()
        self.assemble_all(self.assembled)
        self.relink(relinked)
        return self.verify(draft, relinked, image), 2

    def _standing(self, last: Path) -> list[Contents]:
        """The tables that stand in an image; none unless all can be linked with once more."""
        try:
            found = [format_of(table.rule).previous(_image(last), table.rule) for table in self.tables]
        except BuildplugError:  # it may be anything
            return []
        return [content for content in found if content] if all(found) else []

    def _linked_with(self, tables: list[Contents], draft: Path) -> bool:
        """Links with these tables; whether that went well."""
        self._generate(tables)
        self.assemble_all(self.assembled)
        try:
            self.relink(draft)
        except DraftFailed:  # maybe only as there is less room now
            return False
        return True

    def prepare(self) -> None:
        """Writes what the draft needs: empty tables, and the script that places them."""
        rules = [table.rule for table in self.tables]
        for rule, stub in zip(rules, self.stubs, strict=True):
            self._write_table(rule, format_of(rule).empty(rule, self.arch), 0, stub)
        places = self.places()
        files.write(self.placement, render.placement(rules, places, self.root))
        files.write(self.script, places.script)

    def assemble_all(self, texts: list[Path]) -> Assembled:
        """Makes the objects of texts, with the kernel's own flags."""
        return Assembled(tuple(tuple(self.assemble(text, self.object_of(text))) for text in texts))

    def link_draft(self, draft: Path) -> Linked:
        """Links with empty tables: the image that the tables are made from."""
        return self.link(self.stub_objects, draft)

    def extract(self, draft: Path) -> Extracted:
        """Finds the references, and checks that inline code may stand where it would."""
        image, found = _image(draft), {}
        for table, path in zip(self.tables, self.extracted, strict=True):
            made, ignored = format_of(table.rule).make(image, table.rule, table.ops)
            if table.ops:
                from buildplug.backends import clobbers  # lazy: importing capstone is slow

                clobbers.check(image, table.rule, table.ops, decode(made.encode(), self.arch, image.path))
            registry.save(made, path)
            self._extracted[path] = made
            found[table.rule.name] = Found(len(made), ignored)
        return Extracted(found)

    def generate(self) -> Generated:
        """Renders the tables, and the script that tells them where the sections are."""
        self._generate(self._contents())
        return Generated()

    def _contents(self) -> list[Contents]:
        """What extract() has found, in this process or in another."""
        paths = zip(self.tables, self.extracted, strict=True)
        return [self._extracted.get(path) or registry.load(path, t.rule, self.arch) for t, path in paths]

    def _generate(self, made: list[Contents]) -> None:
        for table, content, text in zip(self.tables, made, self.texts, strict=True):
            self._write_table(table.rule, content, table.slack, text)
        named = [(table.rule, content) for table, content in zip(self.tables, made, strict=True)]
        files.write(self.anchors, render.anchors(named, self.root, f"{self.anchors.name}.j2"))

    def relink(self, relinked: Path) -> Linked:
        """The only relink."""
        return self.link([*self.objects, *([self.anchors] if self.scripts else [])], relinked)

    def verify(self, draft: Path, relinked: Path, image: Path, found: Iterable[Contents] | None = None) -> Verified:
        """Proves the tables true of the final image; makes them so if the linker moved what they speak of. If that is
        the draft itself, `found` is what extract() has found."""
        final = _image(relinked)
        pairs = [(t.rule, t.ops) for t in self.tables]
        proof = verify(_image(draft), final, pairs, repeat(None) if found is None else found)
        if proof.changed:
            raise BuildplugError(
                relinked,
                f"the relink changed more than it moved: {'; '.join(proof.changed)}",
                "the linker, its script or its inputs depend on something else than the inputs",
            )
        untrue = [table for table in proof.tables if table.differences]
        with files.replacing(image) as scratch:
            shutil.copy(relinked, scratch)  # with its mode: the linker has made it executable
            for table in untrue:
                rewrite(scratch, final, table)
            if untrue and (way := build_id.way_of(final)):
                build_id.renew(scratch, way)
            made = Image(scratch)
            for wanted, table in zip(self.tables if untrue else (), proof.tables, strict=False):
                again = prove_table(made, wanted.rule, wanted.ops, table.truth)
                if again.differences:
                    raise BuildplugError(image, f"rule {wanted.rule.name}: {'; '.join(again.differences)}")
            for wanted in self.tables:
                _try_fixup(made, wanted, image)
                if wanted.ops:
                    cache_lines.check(final, wanted.rule, wanted.ops)
        return Verified(
            {p.rule.name: _about(final, p, t.ops) for p, t in zip(proof.tables, self.tables, strict=True)},
            proof.moved,
            tuple(table.rule.name for table in untrue),
            proof.sections,
            tuple(fingerprints.stamp(image)),
        )

    def _write_table(self, rule: Rule, content: Contents, slack: int, text: Path) -> None:
        if content.blob is not None:
            files.write(blob_path(text), content.blob)
        # by its name alone, as the text is the same in every build directory: the compiler is given the folder
        files.write(text, render.table(rule, content, slack, self.root, blob_path(text).name))


def _try_fixup(final: Image, wanted: WantedTable, image: Path) -> None:
    """Has the reference check what the kernel will check at boot, for every backend."""
    if not wanted.ops:
        return
    memory, start, end = memory_of(final)
    at = final.address_of(wanted.rule.symbol) or 0
    for name in wanted.ops.backends:
        backend = final.address_of(f"{wanted.rule.symbol}_{name}") or 0
        status = fixup(final.arch, memory, at, backend, start, end, dry=True)
        if status.error != "ok":
            raise BuildplugError(
                image,
                f"rule {wanted.rule.name}, backend {name}, entry {status.entry}: {ERRORS[status.error]}",
                "the kernel would refuse the table at boot; see the generated table for the entry",
            )


def _alike(one: Contents, other: Contents) -> bool:
    """Whether links with these contents differ in nothing but their bytes."""
    shapes = [getattr(contents, "shape", None) for contents in (one, other)]
    return shapes[0] is not None and shapes[0] == shapes[1]


def _about(final: Image, proof: TableProof, ops: Ops | None) -> TableRecord:
    """A table in the record."""
    rule, size = proof.rule, final.section(proof.rule.section).size
    targets = cache_lines.about(final, rule, ops) if ops else {}
    return TableRecord(rule.symbol, rule.section, len(proof.truth), size, proof.truth.op_names, targets)
