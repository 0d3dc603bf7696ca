"""The Linker of a build's own link command: the words after the linker's name, with our tables."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property, partial
from pathlib import Path

from buildplug.base import files, process
from buildplug.base.errors import BuildplugError
from buildplug.base.process import Completed
from buildplug.base.records import frozen
from buildplug.config.project import Config
from buildplug.image import strip
from buildplug.linker import command_line, depfile, response
from buildplug.linker.command_line import LinkLine
from buildplug.linker.depfile import Depfile
from buildplug.linker.family import Family
from buildplug.linker.script import Placement, place
from buildplug.pipeline import compiler
from buildplug.stage import sources
from buildplug.stage.ahead import look_ahead
from buildplug.stage.linker import LinkFailed, TableFiles
from buildplug.stage.notes import Linked

UNNAMED = "-ffile-prefix-map="
# Flags of our configurations for Linux that say nothing of what is not code, and to no preprocessor.
NOT_PREPROCESSED = ("-m64", "-fno-pie", "-march=rv64imac", "-mabi=lp64", "-mno-relax")


@frozen
class CommandLinker:
    """The words of a link, what they mean, and the folder of ours that is linked in.

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
    def places(self) -> Placement:
        return place(self.config, *(list(map(Path, names)) for names in (self.line.scripts, self.line.folders)))

    @property
    def _map(self) -> str:
        return self.line.map(percent_is_output=self.family.percent_is_output)

    def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
        """As Linker has it."""
        return compiler.assemble(self._unnamed, texts, preprocessed=self.preprocessed)

    @property
    def _unnamed(self) -> Config:
        """The configuration, with which no object tells the folder's random name."""
        flag = f"{UNNAMED}{self.config.relative(self.folder)}=."
        flags = {name: (*getattr(self.config.compile, name), flag) for name in ("cflags", "asflags")}
        return replace(self.config, compile=replace(self.config.compile, **flags))

    @cached_property
    def preprocessed(self) -> bool:
        """Whether a preprocessor may find anything in the tables' texts. There is nothing for it in the shipped
        templates; flags may be for it, such as -include, or make unused ones an error."""
        known = set(NOT_PREPROCESSED).issuperset(self.config.compile.asflags)
        return not known or bool(sources.templates(self.config))

    def link(self, tables: TableFiles, made: Path) -> Linked:
        """As Linker has it."""
        words, last = self.words, list[str]()
        if "script" in self.line or self.places.tables:
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

    def put(self, made: Path, image: Path) -> None:
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

    def _dependencies(self, made: Path) -> str:
        """The depfile without what is ours, and with what says what the tables are. All in one rule, as CMake forgets
        one when there is another."""
        text = files.read(_depfile_of(made)).decode(errors="surrogateescape")
        names = depfile.parse(text, unescaped=str(self.folder)).inputs
        inputs = [str(path) for path in sources.inputs(self.config)]
        inputs += [name for name in names if not Path(name).is_relative_to(self.folder)]
        return Depfile((self.line.output,), tuple(inputs)).text


def _map_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.map")


def _depfile_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.d")
