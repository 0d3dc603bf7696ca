"""What a kernel compiles in to use its tables: generated C, assembly and headers. Knows no pass."""

from collections.abc import Sequence
from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.base import files
from buildplug.config.project import Config, WantedTable
from buildplug.linker.depfile import Depfile
from buildplug.stage import render
from buildplug.tables.registry import format_of


def texts(tables: Sequence[WantedTable], arch: Arch, root: Path) -> dict[str, str]:
    """File name -> text, for these tables; `root` has the user's templates."""
    formats = [format_of(table.rule) for table in tables]
    found = render.runtime(arch, root, formats, has_ops=any(table.ops for table in tables))
    for table in tables:
        found |= render.table_files(arch, table.rule, table.ops, root)
    return found


def write(config: Config, folder: Path) -> list[Path]:
    """Writes the files, each only if it changes; returns their paths."""
    made = texts(config.tables, config.arch, config.root)
    for name, text in made.items():
        files.write(folder / name, text)
    return [folder / name for name in made]


def templates(config: Config) -> list[Path]:
    """The templates of the user's that the tables are rendered by."""
    return render.users([table.rule for table in config.tables], config.root)


def inputs(config: Config) -> list[Path]:
    """The files that say what the tables are: the configuration, rules, ops, and templates of the user's."""
    return sorted({config.path, *(path for table in config.tables for path in table.files), *templates(config)})


def depfile(targets: Sequence[Path], config: Config) -> str:
    """The rules by which make and ninja learn that targets are made from inputs()."""
    return Depfile(tuple(map(str, targets)), tuple(map(str, inputs(config)))).text
