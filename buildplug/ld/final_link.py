"""The link of a kernel by the command of any build: draft, tables, relink, proof, in a folder of their own beside the
output, which takes its place in one step."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from functools import cached_property, partial
from pathlib import Path

from buildplug import __version__
from buildplug.base import files, process, scratch
from buildplug.base.errors import BuildplugError
from buildplug.base.interruption import interruptible
from buildplug.base.process import Completed
from buildplug.base.records import frozen
from buildplug.config.project import Config, read
from buildplug.config.select import Symbols
from buildplug.image import strip
from buildplug.image.elf import Image
from buildplug.linker import command_line, depfile, response
from buildplug.linker.command_line import LinkLine
from buildplug.linker.depfile import Depfile
from buildplug.linker.family import Family
from buildplug.linker.script import Placement, place
from buildplug.pipeline import compiler
from buildplug.stage import images, sources
from buildplug.stage.ahead import look_ahead
from buildplug.stage.linker import LinkFailed, TableFiles
from buildplug.stage.notes import Linked
from buildplug.stage.passes import Stage

# In the environment: an object that is linked (-r) of all archives of the link, as Linux's vmlinux.o. To read it is
# faster than to read those.
MERGED = "BUILDPLUG_MERGED"

UNNAMED = "-ffile-prefix-map="
# Flags of our configurations for Linux that say nothing of what is not code, and to no preprocessor.
NOT_PREPROCESSED = ("-m64", "-fno-pie", "-march=rv64imac", "-mabi=lp64", "-mno-relax")


@frozen
class FinalLink:
    """One final link: the words after the linker's name, and what they mean.

    The words are not changed, as response files may hold any of them: ours come before and after them, and the last
    `-o`, `-Map` and `--dependency-file` count. There are two exceptions, for which the words go into a response file of
    ours: a script with MEMORY, and one of -dT. GNU ld reads the latter after all inputs, so that our script with ADDR()
    would decide the order of the sections.
    """

    ld: str
    flavor: list[str]  # words that the linker needs before all others
    family: Family
    words: list[str]
    line: LinkLine
    env: Mapping[str, str]  # the linker's
    config: Config
    folder: Path
    keep: bool  # whether the folder is wanted, with texts for people
    relink: bool  # whether to link twice in any case
    sysmap: str  # the file for a list of the symbols; empty if none is wanted
    unfilled: str  # the name of an output that has empty tables, and is linked before; empty if there is none
    ended: dict[Path, Completed] = field(default_factory=dict)  # how the link of each image ended

    @property
    def output(self) -> Path:
        return Path(self.line.output)

    @property
    def draft(self) -> Path:
        return self.folder / f"{self.output.name}.draft"

    @property
    def relinked(self) -> Path:
        return self.folder / f"{self.output.name}.relinked"

    @property
    def linked(self) -> Path:
        """Where the linker writes each image: under the output's own name, which linkers may write into it."""
        return self.folder / "link" / self.output.name

    @property
    def kept(self) -> Path:
        """Where the folder is after the link, if it is wanted; what messages call it in any case."""
        return self.output.with_name(f"{self.output.name}.buildplug")

    @cached_property
    def stage(self) -> Stage:
        c = self.config
        unnamed = f"{UNNAMED}{c.relative(self.folder)}=."  # no object tells the folder's random name
        flags = {name: (*getattr(c.compile, name), unnamed) for name in ("cflags", "asflags")}
        c = replace(c, compile=replace(c.compile, **flags))
        return Stage(
            c.tables, c.arch, c.root, lambda: self._places, c.generated, lambda text: text.with_name(f"{text.name}.o"),
            replace(self, config=c), "script" in self.line, direct=not self.keep and not self._preprocessed,
        )  # fmt: skip

    @cached_property
    def _places(self) -> Placement:
        return place(self.config, *(list(map(Path, names)) for names in (self.line.scripts, self.line.folders)))

    @property
    def _before(self) -> Path | None:
        """The image of the link with empty tables before this one, if there was one."""
        path = self.output.with_name(self.unfilled) if self.unfilled else None
        return path if path and path.is_file() and not self.relink else None

    def _expected(self) -> Image | str | None:
        """What the first link will make, or an option by which that is the linker's to know; None if two are wanted, or
        an input is a pipe."""
        referring = any(table.rule.select.rows == "references" for table in self.config.tables)
        if self._before and (not referring or Image(self._before).has_relocations):
            return Image(self._before)
        names = [name for name in self.line.inputs if not name.endswith(".a") or name in self.line.whole]
        merged = self.env.get(MERGED, "")
        if any(name.endswith(".a") for name in names) and Path(merged).is_file():
            names = [merged, *(name for name in names if not name.endswith(".a"))]
        paths = [Path(name) for name in names if not name.startswith("-")]
        if self.relink or any(map(files.is_special, paths)):  # a pipe is read but once
            return None
        from buildplug.stage.expected import expected  # lazy, as only a first link needs it

        pairs = zip(self.config.tables, self.stage.stubs, strict=True)
        stubs = [stub for table, stub in pairs if table.rule.table.each]  # with what their rows refer to
        self.stage.assemble_all(stubs)
        paths += map(self.stage.object_of, stubs)
        return expected(self.line, paths, self._places, self.config.tables, self.family)

    @property
    def _map(self) -> str:
        return self.line.map(percent_is_output=self.family.percent_is_output)

    def run(self) -> None:
        """Links, and puts what the command asked for in its place. Raises BuildplugError."""
        image = self.folder / self.output.name
        if self.output.name == self.unfilled:
            self.stage.prepare()
            self.stage.link_draft(self.draft, "empty tables are asked for")
            self._finish(self.draft, self.draft)
            return
        last = self.output if self.output.is_file() and not (self.relink or self._before) else None
        done = self.stage.run(self.draft, self.relinked, image, last, self._expected)
        if self.keep:
            import json  # lazy, as the rest is seldom wanted

            about = {"buildplug": __version__, "links": done.links, "why": done.why} | asdict(done.verified)
            files.write(self.folder / "record.json", json.dumps(about, indent=1) + "\n")
            self.relinked.unlink()  # it may be the image, which is the user's to change
            shutil.copy(image, self.relinked)  # with the tables that are proved, and its relocations
        if self.sysmap:
            files.write(Path(self.sysmap), self._symbol_list())
        self._finish(self.draft if done.links == 1 else self.relinked, image)

    def _finish(self, made: Path, image: Path) -> None:
        """Puts an image in the place of the output, with the side files of the link that made it."""
        self.say(self.ended[made])
        if self.config.link_options and not (self.config.link.keep_relocations or "emit-relocs" in self.line):
            strip.drop(image, image)
        if path := self._map:
            files.write(Path(path), self.public(files.read(_map_of(made)).decode(errors="surrogateescape")))
        if path := self.line.depfile:
            files.write(Path(path), self._dependencies(made))
        for side in sorted(self.linked.parent.iterdir()):  # what the linker has named after the output
            files.put(side, self.output.with_name(side.name))
        files.put(image, self.output)

    def _symbol_list(self) -> bytes:
        """What Linux's System.map is of the linked image, whose symbols the stage has read."""
        from buildplug.image import listing  # lazy, as few links want it

        patterns = [
            glob for table in self.config.tables if table.rule.format.startswith("kallsyms")
            for glob in table.rule.select_as(Symbols).exclude if not glob.lstrip("_").startswith("bp_")
        ]  # fmt: skip
        return listing.system_map(images.read(self.relinked), patterns)

    def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
        """As Linker has it."""
        return compiler.assemble(self.config, texts, preprocessed=self._preprocessed)

    @cached_property
    def _preprocessed(self) -> bool:
        """Whether a preprocessor may find anything in the tables' texts. There is nothing for it in the shipped
        templates; flags may be for it, such as -include, or make unused ones an error."""
        known = all(flag in NOT_PREPROCESSED or flag.startswith(UNNAMED) for flag in self.config.compile.asflags)
        return not known or bool(sources.templates(self.config))

    def link(self, tables: TableFiles, made: Path) -> Linked:
        """As Linker has it."""
        words, last = self.words, list[str]()
        if "script" in self.line or self._places.tables:
            ours = ["-T", str(tables.placement)]  # GNU ld wants it before the user's
            whole = tables.script.stat().st_size > 0
            if whole:
                ours += ["-T", str(tables.script)]
            elif self.line.default_script:
                last = ["-T", self.line.default_script]
            if whole or last:
                left_out = command_line.SCRIPTS if whole else command_line.DEFAULT_SCRIPTS
                file = self.folder / "words"
                files.write(file, response.text_of(command_line.without(self.line, left_out)))
                words = [f"@{file}"]
        else:  # the linker places orphans behind .rodata; this keeps them from --gc-sections
            ours = [f"--undefined={table.rule.symbol}" for table in self.config.tables]
        elf = ["--format=default"] if "format" in self.line else []  # what a last -b binary would make of our objects
        first = map(str, tables.first)
        command = [self.ld, *self.flavor, *ours, *first, *words, *last, *self.config.link_options, *elf]
        command += map(str, tables.inputs)
        if self._map:
            # where a % in the name of our folder would be taken for the output, the whole name is said by that
            named = self.family.percent_is_output and "%" in str(self.linked)
            command.append("-Map=%" if named else f"-Map={_map_of(self.linked)}")
        command += [f"--dependency-file={_depfile_of(self.linked)}"] if self.line.depfile else []
        self.linked.parent.mkdir(exist_ok=True)
        done = process.capture([*command, "-o", str(self.linked)], self.env, partial(look_ahead, self.config.tables))
        self.ended[made] = done
        if done.status and made == self.draft:
            failed = LinkFailed(self.ld, "the link failed", status=done.status)
            failed.ended = done
            raise failed
        if done.status:
            self.say(done)
            how = f" with {done.signal}" if done.signal else ""
            raise BuildplugError(
                self.ld, f"the link with the tables failed{how}, the one with empty tables did not",
                "see its message above", status=done.status,
            )  # fmt: skip
        if not self.linked.exists():
            raise BuildplugError(self.ld, "the linker says that it is done, but made no image", "see its options")
        for before, after in (
            (self.linked, made), (_map_of(self.linked), _map_of(made)), (_depfile_of(self.linked), _depfile_of(made)),
        ):  # fmt: skip
            if before.exists():
                before.replace(after)
        return Linked()

    def say(self, ended: Completed) -> None:
        """Says what a linker has said."""
        for stream, said in ((sys.stdout, ended.out), (sys.stderr, ended.err)):
            stream.buffer.write(self.public(said.decode(errors="surrogateescape")).encode(errors="surrogateescape"))
            stream.flush()

    def public(self, text: str) -> str:
        """A text of the linker's or of ours without the names that only this run has."""
        for made in (self.linked, self.draft, self.relinked):
            text = text.replace(str(made), self.line.output)
        return text.replace(str(self.folder), str(self.kept))

    def _dependencies(self, made: Path) -> str:
        """The depfile without what is ours, and with what says what the tables are. All in one rule, as CMake forgets
        one when there is another."""
        text = files.read(_depfile_of(made)).decode(errors="surrogateescape")
        names = depfile.parse(text, unescaped=str(self.folder)).inputs
        inputs = [str(path) for path in sources.inputs(self.config)]
        inputs += [name for name in names if not Path(name).is_relative_to(self.folder)]
        return Depfile((self.line.output,), tuple(inputs)).text


def link(
    ld: str, flavor: list[str], config: Path, arch: str, words: list[str], line: LinkLine, env: Mapping[str, str],
    family: Family, *, keep: bool, relink: bool, sysmap: str = "", unfilled: str = "",
) -> int:  # fmt: skip
    """Makes the output of a link with tables; returns the exit status. Raises BuildplugError."""
    with interruptible(), scratch.folder(Path(line.output)) as folder:
        kernel = read(config, folder, arch)
        final = FinalLink(ld, flavor, family, words, line, env, kernel, folder, keep, relink, sysmap, unfilled)
        try:
            final.run()
        except LinkFailed as failed:
            if failed.ended:
                final.say(failed.ended)
                if failed.ended.signal:
                    raise BuildplugError(
                        ld, f"the link failed with {failed.ended.signal}", status=failed.status
                    ) from None
            return failed.status
        except BuildplugError as error:
            error.args, error.output = (final.public(str(error)),), final.public(error.output)
            raise
        finally:
            if keep:
                shutil.rmtree(final.kept, ignore_errors=True)
                folder.rename(final.kept)
                final.kept.chmod(final.kept.absolute().parent.stat().st_mode & 0o777)  # no longer ours alone
    return 0


def remove_outputs(line: LinkLine) -> None:
    """Removes what a link that failed would have made, as GNU ld does: else the kernel of an earlier link is booted.
    A link that is killed leaves it. Raises BuildplugError."""
    side_files = (line.map(percent_is_output=False), line.depfile)
    files.remove(Path(line.output), *(Path(name) for name in side_files if name))


def _map_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.map")


def _depfile_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.d")
