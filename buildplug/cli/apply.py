"""buildplug apply"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.runtime.fixup import apply


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("image", type=Path)
    parser.add_argument("--backend", required=True, help="name in the ops file")
    parser.add_argument("--rule", default="paravirt", help="whose table; default: paravirt")
    parser.add_argument("-o", "--output", type=Path, required=True)


def run(options: Namespace) -> None:
    symbol = find(options.rule, Path.cwd()).symbol
    apply(Image(options.image), symbol, f"{symbol}_{options.backend}", options.output)
