"""The link command: the same for draft and final, but for the object that holds the tables."""

from pathlib import Path

from buildplug.config import Config
from buildplug.files import replacing
from buildplug.ninjafile import object_of, relative
from buildplug.toolchain import run


def link(config: Config, sources: list[Path], placement: Path, tables: list[Path], output: Path) -> list[str]:
    """Links `output` with the files that bring the tables, which the script `placement` places; returns the command."""
    # GNU ld wants the placement before the script that it inserts into; without a script its own is meant.
    script = ["-T", relative(config, config.root / config.link.script)] if config.link.script else []
    command = [
        config.toolchain.ld, *config.link.flags, "--emit-relocs", "-T", relative(config, placement), *script,
        *(relative(config, object_of(config, source)) for source in sources),

        *(relative(config, config.root / name) for name in config.link.objects),
        *(relative(config, path) for path in tables),
    ]  # fmt: skip
    with replacing(output) as scratch:
        scratch.unlink()  # the linker sets the mode of a file that it makes
        run([*command, "-o", relative(config, scratch)], config.root, f"link {output.name}")
    return [*command, "-o", relative(config, output)]
