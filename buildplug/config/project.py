"""buildplug.toml: what to build, with what, and which tables go in."""

import os
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from buildplug.arch import compilers
from buildplug.arch.model import Arch
from buildplug.arch.registry import by_name, names
from buildplug.base.errors import BuildplugError
from buildplug.base.keys import KeysOf, OneOf
from buildplug.base.records import frozen
from buildplug.base.schema import convert, load
from buildplug.config import ops
from buildplug.config.ops import Ops
from buildplug.config.rule import Output, Rule, adjusted, check_arch, find
from buildplug.config.select import Select
from buildplug.config.source_files import matching
from buildplug.image.demangle import PROGRAM as DEMANGLER

STATE = ".doit.json"  # the build's state, in the build directory
DEFAULT = "x86_64"  # architecture
RESERVED = ("obj", "gen", "notes", "build.ninja", "compile_commands.json")

Architecture = Annotated[str, OneOf("architecture", names())]


@frozen
class Kernel:
    """The image."""

    name: Annotated[
        str,
        "Its file name, in the build directory. For `buildplug ld` it is also the name of the program whose output by "
        "Cargo is `deps/NAME-` and 16 hexadecimal digits, where Rust writes `_` for each `-` of `NAME`.",
    ] = "vmlinux"
    arch: Annotated[
        Architecture,
        "Its architecture, unless `--arch` chooses another. If left out, `buildplug ld` takes that of the "
        "first object; all else takes `x86_64`.",
    ] = ""
    build: Annotated[str, "The build directory; nothing is written outside."] = "build"


@frozen
class Toolchain:
    """The programs that build it."""

    cc: Annotated[str, "The compiler, which also assembles."] = "cc"
    ld: Annotated[str, "The linker."] = "ld"
    launcher: Annotated[tuple[str, ...], "Words before the compiler, such as `ccache` or `distcc`."] = ()


@frozen
class Compile:
    """What is compiled, and how."""

    sources: Annotated[tuple[str, ...], "Globs of sources: `.c`, `.S` and `.s`."] = ()
    include: Annotated[tuple[str, ...], "Folders of headers."] = ()
    cflags: Annotated[tuple[str, ...], "Flags of the compiler for C."] = ()
    asflags: Annotated[tuple[str, ...], "Flags of the compiler for assembly."] = ()


@frozen
class Link:
    """How the image is linked."""

    script: Annotated[str, "The linker script."] = ""
    flags: Annotated[tuple[str, ...], "Flags of the linker."] = ()
    objects: Annotated[tuple[str, ...], "Objects and archives that exist already."] = ()
    after: Annotated[
        str, "The output section that read-only tables follow; by default `.rodata`, else `.text` or `.data`."
    ] = ""
    into: Annotated[
        str, "The region and segment of tables, as in a script: `> rom AT> rom :text`; by default those of `after`."
    ] = ""
    keep_relocations: Annotated[
        bool,
        "The image keeps its relocations although no table needs them, or, of `buildplug ld`, although your flags "
        "lack `--emit-relocs`.",
    ] = False


@frozen
class TableEntry:
    """A table. Any key of its rule's `[select]` and `[table]` is allowed here, and replaces the rule's."""

    rule: Annotated[str, "Name of a rule that is shipped, or a TOML file."]
    ops: Annotated[str, "The file of ops and backends, for a table that the boot-time fixup uses."] = ""
    slack: Annotated[
        int, "Bytes of room after the table, for a final link that needs a larger table than the draft."
    ] = 0
    after: Annotated[str, "As in `[link]`, for this table."] = ""
    into: Annotated[str, "As in `[link]`, for this table."] = ""
    required: Annotated[bool, "Without rows the table is an error; otherwise it is a warning."] = False
    name: Annotated[str, "In place of the rule's name, so that several tables can use one rule."] = ""
    about: Annotated[str, "In place of the rule's."] = ""
    adjust: Annotated[dict[str, Any], KeysOf((*get_args(Select), Output))] = field(default_factory=dict)


@frozen
class Changes:
    """What changes when the file is used for that architecture; `--arch` chooses one.

    It may have any key of `kernel`, `toolchain`, `compile` and `link` except `kernel.arch`. A key replaces the file's,
    but a list is appended to the file's: flags add up, and the last one counts. Settings for some architectures only
    must therefore be under each of those. A table replaces the file's of the same name, or is appended.
    """

    kernel: Kernel = field(default_factory=Kernel)
    toolchain: Toolchain = field(default_factory=Toolchain)
    compile: Compile = field(default_factory=Compile)
    link: Link = field(default_factory=Link)
    table: tuple[TableEntry, ...] = ()


@frozen
class File:
    """What to build, with what, and which tables go in. Paths are relative to the file."""

    compile: Compile = field(default_factory=Compile)
    kernel: Kernel = field(default_factory=Kernel)
    toolchain: Toolchain = field(default_factory=Toolchain)
    link: Link = field(default_factory=Link)
    table: tuple[TableEntry, ...] = ()
    arch: dict[str, Changes] = field(default_factory=dict)


@frozen
class WantedTable:
    rule: Rule
    ops: Ops | None
    slack: int
    after: str
    into: str
    files: tuple[Path, ...]  # that define the table
    required: bool = False


@frozen
class Config:
    """The file with its references resolved. Project paths are relative to `root`, where tools run."""

    path: Path
    root: Path
    build: Path
    arch: Arch
    kernel: Kernel
    toolchain: Toolchain
    compile: Compile
    link: Link
    tables: tuple[WantedTable, ...]
    sources: tuple[str, ...]  # relative to root, sorted

    @property
    def image(self) -> Path:
        return self.build / self.kernel.name

    @property
    def draft(self) -> Path:
        return self.build / f"{self.kernel.name}.draft"

    def relative(self, path: Path) -> str:
        """A path for tools: relative to the project's root, so that no build path gets into an object."""
        said, above = str(path), f"{self.root}{os.sep}"
        if said.startswith(above) and ".." not in said:
            return said.removeprefix(above)  # the same, in less time
        return os.path.relpath(path, self.root)

    @property
    def table_programs(self) -> tuple[str, ...]:
        """The programs that make tables, in addition to those that compile and link."""
        return (DEMANGLER,) if any(table.rule.table.demangle for table in self.tables) else ()

    def object_of(self, source: Path) -> Path:
        """The path of a source's object; `../` in the source's path becomes `__/`."""
        return self.build / "obj" / (self.relative(source).replace("../", "__/") + ".o")

    @property
    def generated(self) -> Path:
        return self.build / "gen"

    @property
    def link_options(self) -> tuple[str, ...]:
        """What the linker is to do besides: keep the relocations, where they are wanted and anything can be made of
        them. GNU ld takes several times as long then."""
        wanted = self.link.keep_relocations or any(table.rule.select.needs_relocations for table in self.tables)
        return ("--emit-relocs",) if wanted and "references" in self.arch.rows else ()


def read_file(path: Path, arch: str = "") -> File:
    """Reads the file for its own architecture or `arch`. Raises BuildplugError."""
    data = load(path)
    file = convert(File, data, str(path))
    for name in file.arch:
        by_name(name, f"{path}: arch")
        if "arch" in data["arch"][name].get("kernel", ()):
            raise BuildplugError(f"{path}: arch.{name}.kernel", "expected no arch, which its name says", "drop it")
    chosen = by_name(arch, "--arch") if arch else by_name(file.kernel.arch or DEFAULT, f"{path}: kernel.arch")
    file = replace(file, kernel=replace(file.kernel, arch=chosen.name))
    if chosen.name in file.arch:
        file = _changed(file, file.arch[chosen.name], data["arch"][chosen.name])
    name = file.kernel.name
    if not name or Path(name).name != name or name.startswith((".", "-")) or name in RESERVED:
        raise BuildplugError(f"{path}: kernel.name", f"expected a file name, found {file.kernel.name!r}")
    return file


def _changed(file: File, changes: Changes, given: dict[str, Any]) -> File:
    """The file with only those changes applied that are `given`: section -> keys. Lists are appended."""
    sections: dict[str, Any] = {}
    for section, keys in given.items():
        if section == "table":
            sections[section] = _merged(file.table, changes.table)
            continue
        before, after = getattr(file, section), getattr(changes, section)
        new = {key: getattr(after, key) for key in keys}
        lists = {key: getattr(before, key) + value for key, value in new.items() if isinstance(value, tuple)}
        sections[section] = replace(before, **new | lists)
    return replace(file, **sections)


def _merged(before: tuple[TableEntry, ...], changes: tuple[TableEntry, ...]) -> tuple[TableEntry, ...]:
    """The tables, each replaced by that of its name among the changes; then the other changes."""
    new = {entry.name or entry.rule: entry for entry in changes}
    return (*(new.pop(entry.name or entry.rule, entry) for entry in before), *new.values())


def read(path: Path, build: Path | None = None, arch: str = "") -> Config:
    """Reads the configuration; `build` and `arch` override those in the file. Raises BuildplugError."""
    path = path / "buildplug.toml" if path.is_dir() else path
    root, file = path.resolve().parent, read_file(path, arch)
    for flag in file.link.flags:
        if flag.endswith("-build-id=uuid"):
            raise BuildplugError(f"{path}: link.flags", f"expected a build-id of the content, found {flag}",
                                 "use --build-id=sha1: a random one makes each build another")  # fmt: skip
    found = by_name(file.kernel.arch, path)
    tables = []
    for number, entry in enumerate(file.table):
        named = {key: value for key, value in (("name", entry.name), ("about", entry.about)) if value}
        rule = adjusted(find(entry.rule, root), entry.adjust | named, f"{path}: table[{number}]")
        check_arch(rule, found, f"{path}: table[{number}]")
        if entry.slack < 0:
            raise BuildplugError(f"{path}: table.slack", f"expected bytes, found {entry.slack}")
        if entry.slack and rule.table.placed:
            raise BuildplugError(
                f"{path}: table.slack", f"expected none for rule {rule.name}, found {entry.slack}",
                "drop it: the kernel's own script places that table, and the kernel reads the whole section",
            )  # fmt: skip
        paths = tuple(root / name for name in (entry.ops, entry.rule) if name and (root / name).is_file())
        declared = ops.read(root / entry.ops, found) if entry.ops else None
        tables.append(WantedTable(rule, declared, entry.slack, entry.after, entry.into, paths, entry.required))
    for attribute in ("section", "symbol"):
        names = [getattr(table.rule, attribute) for table in tables]
        for name in names:
            if names.count(name) > 1:
                rules = ", ".join(t.rule.name for t in tables if getattr(t.rule, attribute) == name)
                raise BuildplugError(
                    f"{path}: table", f"expected a {attribute} for each rule, found {name} for {rules}"
                )
    build = (build or root / file.kernel.build).resolve()
    toolchain = replace(file.toolchain, cc=compilers.program(found, file.toolchain.cc))
    return Config(
        path, root, build, found, file.kernel, toolchain,
        file.compile, file.link, tuple(tables), matching(path, root, file.compile.sources, build, STATE),
    )  # fmt: skip
