"""buildplug build"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.cli.shared import add_architecture
from buildplug.config import project
from buildplug.pipeline.doit_tasks import PASSES
from buildplug.pipeline.run import build
from buildplug.record import provenance
from buildplug.record.build import read_record


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    add_architecture(parser)
    parser.add_argument("--build-dir", type=Path, metavar="DIR", help="in place of the configuration's")
    parser.add_argument("--explain", action="store_true", help="say of each pass why it runs or not")
    parser.add_argument("--json", action="store_true", help="print the record of the build")
    parser.add_argument(
        "--provenance", nargs="?", const="", metavar="FILE",
        help="write what went into the image, unsigned; default: IMAGE.provenance.json in the build directory",
    )  # fmt: skip


def run(options: Namespace) -> None:
    def explain(name: str, what: str) -> None:
        print(f"{name}: {what}", file=sys.stderr)

    if sys.stderr.isatty() and not options.explain:
        path = _build_with_bar(options)
    else:
        path = build(options.config, options.build_dir, explain if options.explain else None, arch=options.arch)
    if options.provenance is not None:
        wanted = project.read(options.config, options.build_dir, options.arch)
        output = Path(options.provenance or wanted.build / f"{wanted.kernel.name}.provenance.json")
        provenance.write(output, provenance.statement(wanted, read_record(path)))
    if options.json:
        sys.stdout.write(path.read_text())


def _build_with_bar(options: Namespace) -> Path:
    from rich.console import Console  # slow to import, and not for a build whose output goes to a file
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("", total=len(PASSES))

        def started(name: str, what: str) -> None:
            progress.update(bar, description=name, completed=PASSES.index(name))

        return build(options.config, options.build_dir, None, started, options.arch)
