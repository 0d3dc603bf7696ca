"""The link command, which is the same for draft and final except for the objects that hold the tables."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from buildplug.base.files import read_text, replacing
from buildplug.base.process import run
from buildplug.base.records import frozen
from buildplug.base.scratch import folder
from buildplug.config.project import Config
from buildplug.linker import depfile
from buildplug.pipeline import compiler
from buildplug.stage.linker import TableFiles
from buildplug.stage.notes import Linked


@frozen
class ProjectLinker:
    """The Linker of a configuration. `sources` are the sources of the kernel's own objects; `meanwhile` is called while
    the linker runs."""

    config: Config
    sources: list[Path]
    meanwhile: Callable[[], None] = lambda: None

    def link(self, tables: TableFiles, output: Path) -> Linked:
        command, said = link(self.config, self.sources, tables, output, self.meanwhile)
        sys.stderr.write(said)
        return Linked(tuple(command))

    def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
        return compiler.assemble(self.config, texts)


def link(
    config: Config, sources: list[Path], tables: TableFiles, output: Path, meanwhile: Callable[[], None]
) -> tuple[list[str], str]:  # fmt: skip
    """Links `output`. Returns the command, and what the linker printed. Writes a depfile beside the output, as linker
    scripts may include others."""
    # GNU ld wants the placement before the script that it inserts into. If nothing is inserted, the placement is an
    # input: with -T it would replace the linker's own script.
    inserts = ["-T"] if "INSERT AFTER" in read_text(tables.placement) else []
    own = tables.script if tables.script.stat().st_size else config.root / config.link.script
    command = [
        config.toolchain.ld, *config.link.flags, *config.link_options, *inserts, config.relative(tables.placement),
        *(["-T", config.relative(own)] if config.link.script else []),
        *(config.relative(path) for path in tables.first),
        *(config.relative(config.object_of(source)) for source in sources),

        *(config.relative(config.root / name) for name in config.link.objects),
        *(config.relative(path) for path in tables.inputs),
    ]  # fmt: skip
    with folder(output) as made, replacing(output) as scratch:
        image = made / config.kernel.name  # linkers may write this name into the image
        words = [*command, f"--dependency-file={config.relative(depfile_of(output))}", "-o", config.relative(image)]
        said = run(words, config.root, f"link {output.name}", meanwhile=meanwhile).output
        scratch.unlink()
        image.rename(scratch)
    return [*command, "-o", config.relative(output)], said.replace(config.relative(image), config.relative(output))


def depfile_of(output: Path) -> Path:
    """The depfile that link() writes."""
    return output.with_name(f"{output.name}.d")


def included(config: Config, output: Path) -> list[Path]:
    """The files that the last link of `output` read, by its depfile."""
    path = depfile_of(output)
    if not path.exists():
        return []
    names = depfile.parse(path.read_text(errors="surrogateescape")).inputs
    return sorted({config.root / name for name in names})
