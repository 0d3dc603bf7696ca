"""The generated C, assembly, headers and Rust that a kernel compiles in to use its tables. Knows no pass."""

from collections.abc import Sequence
from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.base import data, files
from buildplug.config.project import Config, WantedTable
from buildplug.linker.depfile import Depfile, escaped
from buildplug.stage import render
from buildplug.tables.registry import format_of


def texts(tables: Sequence[WantedTable], arch: Arch, root: Path) -> dict[str, str]:
    """The sources in C for these tables: file name -> text. `root`: base of the user's templates. Raises
    BuildplugError."""
    formats = [format_of(table.rule) for table in tables]
    found = render.runtime(arch, root, formats, has_ops=any(table.ops for table in tables))
    for table in tables:
        found |= render.table_files(arch, table.rule, table.ops, root)
    return found


def names(tables: Sequence[WantedTable], arch: Arch) -> list[str]:
    """The names of the files that texts() makes."""
    has_ops, found = any(table.ops for table in tables), dict[str, None]()
    for table in tables:
        found |= dict.fromkeys(format_of(table.rule).runtime(arch, has_ops=has_ops))
    for table in tables:
        found |= dict.fromkeys(format_of(table.rule).sources(table.rule, arch, table.ops))
    return [*found]


def rust_texts(tables: Sequence[WantedTable], arch: Arch, root: Path) -> dict[str, str]:
    """texts() for a kernel in Rust: C for those tables only that have no reader in Rust."""
    found, in_c = dict[str, str](), list[WantedTable]()
    for table in tables:
        found |= (made := render.rust(arch, table.rule, root, table.ops))
        in_c += [] if made else [table]
    return found | (texts(in_c, arch, root) if in_c else {})


LANGUAGES = {"c": texts, "rust": rust_texts}


def write(config: Config, folder: Path, language: str = "c") -> list[Path]:
    """Writes the sources that changed; returns the paths of all."""
    made = LANGUAGES[language](config.tables, config.arch, config.root)
    for name, text in made.items():
        files.write(folder / name, text)
    return [folder / name for name in made]


def templates(config: Config) -> list[Path]:
    """The user's templates that the tables use."""
    return render.users([table.rule for table in config.tables], config.root)


def inputs(config: Config) -> list[Path]:
    """The files that define the tables: the configuration, rules, ops, and the user's templates."""
    return sorted({config.path, *(path for table in config.tables for path in table.files), *templates(config)})


def makefile(made: Sequence[Path], config: Config, path: Path) -> str:
    """A makefile to include: BUILDPLUG_SOURCES and BUILDPLUG_OBJECTS, and what makes make renew it, as `path`. Modules
    in Rust are in neither: rustc finds them by itself."""
    compiled = [name for name in map(str, made) if not name.endswith((".h", ".rs"))]
    lines = [
        f"BUILDPLUG_SOURCES := {' '.join(map(escaped, compiled))}",
        f"BUILDPLUG_OBJECTS := {' '.join(escaped(str(Path(name).with_suffix('.o'))) for name in compiled)}",
        Depfile((str(path),), tuple(map(str, [*inputs(config), *data.own_files()]))).text,
    ]
    return "\n".join(lines)


def depfile(targets: Sequence[Path], config: Config) -> str:
    """A depfile for make and ninja: the targets depend on inputs()."""
    return Depfile(tuple(map(str, targets)), tuple(map(str, inputs(config)))).text
