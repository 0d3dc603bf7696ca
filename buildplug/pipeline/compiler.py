"""The command of the kernel's own compiler, for sources and for the texts of tables."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from buildplug.arch import compilers
from buildplug.base import files
from buildplug.base.process import run_all
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


def assemble(config: Config, texts: Sequence[tuple[Path, Path]], *, preprocessed: bool = True) -> list[list[str]]:
    """Makes objects of texts, (text, object) each, with the kernel's own flags; returns the commands. `preprocessed`:
    whether the C preprocessor may change assembly; starting it takes longer than assembling. Raises BuildplugError."""
    language = [] if preprocessed else ["-x", "assembler"]
    commands = [
        [*compiler(config, text.suffix), *(language if text.suffix == ".S" else []), "-c", config.relative(text)]
        for text, _ in texts
    ]
    with ExitStack() as stack:
        made = [config.relative(stack.enter_context(files.replacing(output))) for _, output in texts]
        run_all(
            [[*command, "-o", name] for command, name in zip(commands, made, strict=True)], config.root,
            "assemble a table",
        )  # fmt: skip
    return [[*command, "-o", config.relative(output)] for command, (_, output) in zip(commands, texts, strict=True)]
