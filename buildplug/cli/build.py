"""buildplug build"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from buildplug.base.supervisor import supervise
from buildplug.cli.shared import add_architecture
from buildplug.record import stamps

FILE = "buildplug.toml"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", type=Path, default=Path(FILE), help=f"default: {FILE}")
    add_architecture(parser)
    parser.add_argument("--build-dir", type=Path, metavar="DIR", help="in place of the configuration's")
    parser.add_argument("--explain", action="store_true", help="say of each pass why it runs or not")
    parser.add_argument("--json", action="store_true", help="print the record of the build")
    parser.add_argument(
        "--provenance", nargs="?", const="", metavar="FILE",
        help="write what went into the image, unsigned; default: IMAGE.provenance.json in the build directory",
    )  # fmt: skip


def run(options: Namespace) -> None:
    if options.config.is_dir():
        options.config /= FILE
    given = stamps.options(options.config, options.build_dir, options.arch)
    lists = (stamps.unchanged(folder / stamps.NAME, given) for folder in _build_directories(given))
    if said := next(filter(None, lists), None):  # nothing to do, which is known without what takes time to import
        record, *explained = said
        sys.stderr.writelines(f"{line}\n" for line in explained if options.explain)
    else:
        record = str(_build(options))
    if options.provenance is not None:
        _write_provenance(options, record)
    if options.json:
        sys.stdout.write(Path(record).read_text())


def _build_directories(given: dict[str, str]) -> Iterator[Path]:
    """Where the last build with these options may have left its list of stamps; each once."""
    if given["build"]:
        yield Path(given["build"])
        return
    config = Path(given["config"])
    yield config.parent / "build"
    import tomllib  # lazy: only for who names another directory
    from contextlib import suppress

    with suppress(OSError, ValueError, AttributeError):
        data = tomllib.loads(config.read_text())
        kernels = [data.get("kernel", {}), *(arch.get("kernel", {}) for arch in data.get("arch", {}).values())]
        named = dict.fromkeys(str(kernel.get("build", "build")) for kernel in kernels)
        yield from (config.parent / name for name in named if name != "build")


def _build(options: Namespace) -> Path:
    supervise()
    from buildplug.pipeline.run import build

    def explain(name: str, what: str) -> None:
        print(f"{name}: {what}", file=sys.stderr)

    if sys.stderr.isatty() and not options.explain:
        return _build_with_bar(options.config, options.build_dir, options.arch)
    return build(options.config, options.build_dir, explain if options.explain else None, arch=options.arch)


def _build_with_bar(config: Path, directory: Path | None, arch: str) -> Path:
    from rich.console import Console  # slow to import, and not for a build whose output goes to a file
    from rich.progress import Progress

    from buildplug.pipeline.doit_tasks import PASSES
    from buildplug.pipeline.run import build

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("", total=len(PASSES))

        def started(name: str, what: str) -> None:
            progress.update(bar, description=name, completed=PASSES.index(name))

        return build(config, directory, None, started, arch)


def _write_provenance(options: Namespace, record: str) -> None:
    from buildplug.config import project
    from buildplug.record import provenance
    from buildplug.record.build import read_record

    wanted = project.read(options.config, options.build_dir, options.arch)
    output = Path(options.provenance or wanted.build / f"{wanted.kernel.name}.provenance.json")
    provenance.write(output, provenance.statement(wanted, read_record(Path(record))))
