"""buildplug report"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from buildplug.base import files
from buildplug.cli.shared import add_architecture, print_json
from buildplug.record import report


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "input", nargs="*", type=Path, default=[Path("buildplug.toml")],
        help="a configuration, the record of its build, or what repro --json printed; default: buildplug.toml",
    )  # fmt: skip
    add_architecture(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the page")
    parser.add_argument("--json", action="store_true", help="a list with one object for each input")


def run(options: Namespace) -> None:
    reports = [report.read(path, options.arch) for path in options.input]
    if options.output:
        files.write(options.output, report.html(reports))
    if options.json:
        print_json([asdict(one) for one in reports])
    elif not options.output:
        print("\n\n".join(map(report.summary, reports)))
