"""buildplug runtime"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.base import files
from buildplug.cli.shared import add_architecture
from buildplug.config import project
from buildplug.stage import sources


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    add_architecture(parser)
    parser.add_argument(
        "--language", choices=sources.LANGUAGES, default="c",
        help="rust: modules for tables of symbols, plain ones and sites of ops, and C for the others; default: c",
    )  # fmt: skip
    parser.add_argument(
        "--depfile", type=Path, help="write what the files and tables are made from, for make and ninja"
    )
    parser.add_argument(
        "--makefile",
        type=Path,
        help="write a makefile to include that names them, and depends on what they are made from",
    )


def run(options: Namespace) -> None:
    config = project.read(options.config, arch=options.arch)
    made = sources.write(config, options.folder, options.language)
    if options.depfile:
        files.write(options.depfile, sources.depfile(made, config))
    if options.makefile:
        files.write(options.makefile, sources.makefile(made, config, options.makefile))
        options.makefile.touch()  # newer than its inputs, else make would renew it each time
    for path in made:
        print(path)
