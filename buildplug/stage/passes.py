"""The passes of any build: a Stage makes the tables, given how to link and how to assemble.

An integration calls them one by one, with files in between (pipeline/doit_tasks.py), or all together: run().
"""

import shutil
from collections.abc import Callable
from dataclasses import field, replace
from pathlib import Path

from buildplug.base import files, fingerprints, parallel
from buildplug.base.errors import BuildplugError, inform, warn
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.linker import fragment
from buildplug.stage import fill, images, objects, render
from buildplug.stage.build import blob_path
from buildplug.stage.linking import Linking
from buildplug.stage.notes import Done, Extracted, Found, Generated, Linked, Verified
from buildplug.stage.proof import TableProof, prove_table, record_of, rewrite, table_bytes, try_fixup, verify
from buildplug.tables import saved
from buildplug.tables.format import Contents
from buildplug.tables.registry import format_of

FITS = "the tables fit into the room of the previous ones, or of those that were expected"


def _content(text: Path) -> tuple[bytes, ...]:
    """What the object of a table's source depends on, besides flags."""
    return tuple(path.read_bytes() for path in (text, blob_path(text)) if path.exists())


@frozen
class Stage(Linking):
    """The passes that make the tables of one image."""

    _extracted: dict[Path, Contents] = field(default_factory=dict, init=False, repr=False)  # by this process
    _reserved: dict[Path, Contents] = field(default_factory=dict, init=False, repr=False)  # whose room the draft has
    _written: dict[Path, bytes] = field(default_factory=dict, init=False, repr=False)  # the objects of these texts

    def run(
        self, draft: Path, relinked: Path, image: Path, last: Path | None = None,
        expected: Callable[[], Image | str | None] = lambda: None, *, spare: bool = False,
    ) -> Done:  # fmt: skip
        """All passes in order; the image may be the same file as `relinked`. `last`: the previous image of the same
        link. `expected`: what the link is expected to make, if that is known. `spare`: whether the draft is not wanted
        once it is an image. Raises BuildplugError."""
        self.prepare()
        relinked.unlink(missing_ok=True)  # it may be an image, too, and mold writes into what there is
        why = self.restore(last) if last else "there is no previous image"
        told = self.foretell(expected) if why else ""
        why = why if told is None else told
        restored = {text: _content(text) for text in self.assembled}
        first = self.link_draft(draft, why)
        self.extract(draft, save=False)
        self.generate()
        self.assemble_all([text for text in self.assembled if why or restored[text] != _content(text)])
        before = images.read(draft)
        final = self.relink(draft, relinked, spare=spare)
        if final.links and (last or told is not None):  # no first link, of which two are expected
            inform("RELINK", f"{image.name}: {final.why or first.why}")
        verified = self.verify(draft, relinked, image, filled=not final.links, before=before, shared=True)
        return Done(verified, first.links + final.links, final.why or first.why)

    def restore(self, last: Path) -> str:
        """Regenerates the objects of the tables in an existing image. Returns why that is impossible; "" if done."""
        contents, rules, image = list[Contents](), [table.rule for table in self.tables], None
        for rule in rules:
            try:
                if image is None:
                    image = Image(last)
                    image.narrow([name for one in rules for name in (*format_of(one).defines(one), one.anchors)])
                at, data = table_bytes(image, rule)
                found = format_of(rule).previous(image, rule, data, at)
            except (BuildplugError, ValueError):  # the file may not be an image of this build
                found = None
            if found is None:
                return f"rule {rule.name}: the previous image has no table that could be linked again"
            contents.append(found)
        try:
            self._reserve(contents)
        except BuildplugError as error:  # as the rules are now
            return f"the previous image has a table that cannot be made again: {error}"
        self.assemble_all(self.assembled)
        return ""

    def foretell(self, expected: Callable[[], Image | str | None]) -> str | None:
        """Generates the objects of tables as large as the true ones should be. Returns why that is impossible, "" if
        done, None if it is of tables of that kind, or not wanted."""
        known = {"symbols"} if self.arch.instruction or self.arch.bits == 32 else {"symbols", "references"}
        if any(table.ops or table.rule.select.rows not in known for table in self.tables):
            return None
        why = "the room of its tables was not known before"
        try:
            image = expected()
            if not isinstance(image, Image):
                return f"{why}, with {image}" if image else None
            self._reserve([format_of(table.rule).make(image, table.rule, None)[0] for table in self.tables])
        except BuildplugError:  # what is wrong is the linker's to say, if anything is
            return why
        self.assemble_all(self.assembled)
        return ""

    def prepare(self) -> None:
        """Writes the empty tables of the draft, and the script that places them."""
        for rule, stub in zip((table.rule for table in self.tables), self.stubs, strict=True):
            self._write_table(rule, format_of(rule).empty(rule, self.arch), 0, stub)
        self.place_tables()

    def extract(self, draft: Path, *, save: bool = True) -> Extracted:
        """Extracts the references, and checks that inline code may be copied to their sites. `save`: whether another
        process goes on."""
        image, found = images.read(draft), {}
        if image.arch != self.arch:
            raise BuildplugError(
                draft, f"expected an image for {self.arch.name}, found one for {image.arch.name}",
                "name its architecture in [kernel] or by --arch",
            )  # fmt: skip

        def made_of(number: int) -> tuple[Contents, dict[str, int]]:
            table = self.tables[number]
            image.leave()  # the next table looks at other parts
            made, ignored = format_of(table.rule).make(image, table.rule, table.ops)
            if table.ops:
                from buildplug.backends import clobbers  # lazy: importing capstone is slow
                from buildplug.tables.sites_format import decode

                clobbers.check(image, table.rule, table.ops, decode(made.encode(), self.arch, image.path))
            return made, ignored

        results = parallel.each(made_of, len(self.tables), len(image.data))
        for table, path, (made, ignored) in zip(self.tables, self.extracted, results, strict=True):
            if save:
                saved.save(made, path)
            self._extracted[path] = made
            about = found[table.rule.name] = Found(len(made), ignored)
            if problem := about.problem(table.rule.select.rows):
                said = f"rule {table.rule.name}", problem, "check what the rule selects, and the compiler's options"
                if table.required:
                    raise BuildplugError(*said)
                warn(*said)
            elif ignored and table.rule.select.rows == "symbols":
                remedy = "see nm; `.type NAME, @function` in assembly makes a label a function"
                warn(f"rule {table.rule.name}", f"left out: {about.left}", remedy)
        return Extracted(found)

    def generate(self) -> Generated:
        """Renders the tables, and the anchors with the addresses of sections."""
        self._generate(self._contents())
        return Generated()

    def _contents(self) -> list[Contents]:
        """What extract() has found, in this process or in another."""
        for table, path in zip(self.tables, self.extracted, strict=True):
            if path not in self._extracted:
                self._extracted[path] = saved.load(path, table.rule, self.arch)
        return [self._extracted[path] for path in self.extracted]

    def _reserve(self, contents: list[Contents]) -> None:
        """Renders tables whose room the draft is to have."""
        self._generate(contents)
        self._reserved.update(zip(self.extracted, contents, strict=True))

    def _generate(self, made: list[Contents]) -> None:
        for table, content, text in zip(self.tables, made, self.texts, strict=True):
            self._write_table(table.rule, content, content.room - len(content.encode()) + table.slack, text)
        named = [
            (table.rule.anchor(number), name)
            for table, content in zip(self.tables, made, strict=True)
            for number, name in enumerate(content.section_names)
        ]
        first = self.tables[0].rule
        if self.scripts:
            files.write(self.anchors, fragment.anchors(named))
        elif self.direct and all(objects.is_plain(content) for content in made):
            files.write(self.object_of(self.anchors), objects.anchors(self.arch, first, named))
        else:
            files.write(self.anchors, render.anchors(first, named, self.root))

    def relink(self, draft: Path, relinked: Path, *, spare: bool = False) -> Linked:
        """The only relink; skipped if the draft has the previous tables and the new ones fit into their room. `spare`:
        whether the draft may become the image then."""
        why = self._fill(draft, relinked, spare=spare) if self.is_with_previous() else ""
        if why == FITS:
            return Linked(links=0, why=why)
        return replace(self.link(self.inputs, relinked), why=why)

    def _fill(self, draft: Path, filled: Path, *, spare: bool) -> str:
        """Turns a draft with the previous tables into what a relink with the new ones would make. Returns FITS, or why
        that is impossible."""
        image = images.read(draft)
        if not build_id.is_renewable(image):
            return "its build-id cannot be renewed"
        if self.scripts and self.kept[self.anchors].read_bytes() != self.anchors.read_bytes():
            return "the tables speak of other sections than was expected"
        for table, path in zip(self.tables, self.extracted, strict=True):
            kept = self._reserved.get(path)
            if kept and (why := format_of(table.rule).outgrown(self._extracted[path], kept)):
                return f"rule {table.rule.name}: {why}"
        try:
            pairs = [(self.kept[path], path) for path in self.objects]
            changes = fill.changes([table.rule for table in self.tables], image, pairs)
        except fill.Misfit as misfit:
            return str(misfit)
        algorithm = build_id.algorithm_of(image)
        with files.replacing(filled) as scratch:
            (files.share if spare and not self._referring else shutil.copy)(draft, scratch)
            fill.apply(scratch, changes)
            for table, content in zip(self.tables, self._contents(), strict=True):
                rewrite(scratch, image, TableProof(table.rule, content, ()))
            if algorithm:
                build_id.renew(scratch, algorithm)
        return FITS

    def verify(
        self, draft: Path, relinked: Path, image: Path, *, filled: bool, before: Image | None = None,
        shared: bool = False,
    ) -> Verified:  # fmt: skip
        """Proves that the tables are true of the final image; corrects them if the linker moved what they refer to.
        `filled`: whether relink() needed no link; `before`: the draft as it was, if it may have become the image;
        `shared`: whether the image may be the file at `relinked`, which is the caller's."""
        before, final = before or images.read(draft), images.read(relinked)
        proof = verify(before, final, [(t.rule, t.ops) for t in self.tables], self._contents(), filled=filled)
        if proof.changed:
            raise BuildplugError(
                relinked,
                f"the relink changed more than it moved: {'; '.join(proof.changed)}",
                "a word that the linker script computes, by LONG() and the like, must be an address, or the distance "
                "of two; other differences come from what the inputs do not decide, such as a random seed",
            )
        untrue = [table for table in proof.tables if table.differences]
        with files.replacing(image) as scratch:
            (shutil.copy if untrue or not shared else files.share)(relinked, scratch)  # with the mode: executable
            for table in untrue:
                rewrite(scratch, final, table)
            if untrue and (algorithm := build_id.algorithm_of(final)):
                build_id.renew(scratch, algorithm)
            made = Image(scratch) if untrue else final  # of the same bytes
            for wanted, table in zip(self.tables if untrue else (), proof.tables, strict=False):
                again = prove_table(made, wanted.rule, wanted.ops, table.truth)
                if again.differences:
                    raise BuildplugError(image, f"rule {wanted.rule.name}: {'; '.join(again.differences)}")
            for wanted in self.tables:
                try_fixup(made, wanted, image)
                if wanted.ops:
                    from buildplug.backends import cache_lines  # lazy, as few tables have ops

                    cache_lines.check(final, wanted.rule, wanted.ops)
        return Verified(
            {p.rule.name: record_of(final, p, t.ops) for p, t in zip(proof.tables, self.tables, strict=True)},
            proof.moved,
            tuple(table.rule.name for table in untrue),
            proof.sections,
            tuple(fingerprints.stamp(image)),
        )

    @property
    def _referring(self) -> bool:
        """Whether tables are of relocations, which the draft and the image are compared for."""
        return any(table.rule.select.needs_relocations for table in self.tables)

    def _write_table(self, rule: Rule, content: Contents, slack: int, text: Path) -> None:
        if self.direct and objects.is_plain(content):
            made = objects.table(rule, content, slack)
            if self._written.get(text) != made:  # mostly it is the same as the previous one
                files.write(self.object_of(text), made)
                self._written[text] = made
            return
        if content.blob is not None:
            files.write(blob_path(text), content.blob)
        # name only, found by an include path: the text must be the same in every build directory
        files.write(text, render.table(rule, content, slack, self.root, blob_path(text).name))
