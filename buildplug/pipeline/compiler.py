"""The command of the kernel's own compiler, for sources and for the texts of tables."""

from pathlib import Path

from buildplug.arch import compilers
from buildplug.base import files
from buildplug.base.process import run
from buildplug.config.project import Config


def compiler(config: Config, source: str) -> list[str]:
    """The command that compiles or assembles `source`, without its input and output."""
    flags = config.compile.cflags if source.endswith(".c") else config.compile.asflags
    include = [config.generated, *(config.root / name for name in config.compile.include)]
    command = [
        *config.toolchain.launcher,
        config.toolchain.cc,
        *compilers.flags(config.arch, config.toolchain.cc),
        *flags,
        f"-ffile-prefix-map={config.root}=.",
    ]
    return command + [f"-I{config.relative(path)}" for path in include]


def assemble(config: Config, text: Path, output: Path, *, preprocessed: bool = True) -> list[str]:
    """Makes an object of a text, with the kernel's own flags; returns the command. `preprocessed`: whether the C
    preprocessor may change assembly; starting it takes longer than assembling. Raises BuildplugError."""
    language = [] if preprocessed or text.suffix != ".S" else ["-x", "assembler"]
    command = [*compiler(config, text.suffix), *language, "-c", config.relative(text)]
    with files.replacing(output) as scratch:
        run([*command, "-o", config.relative(scratch)], config.root, "assemble a table")
    return [*command, "-o", config.relative(output)]
