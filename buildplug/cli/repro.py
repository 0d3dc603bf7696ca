"""buildplug repro"""

import shutil
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path

from buildplug.base import files, process
from buildplug.base.errors import BuildplugError
from buildplug.base.supervisor import supervise
from buildplug.cli.shared import add_architecture, print_json
from buildplug.record import provenance, rebuilds
from buildplug.repro import against, builder, comparison


def arguments(parser: ArgumentParser) -> None:
    parser.usage = "buildplug repro [options] [PROJECT] [-- COMMAND...]"
    parser.add_argument("project", nargs="?", type=Path, default=Path(), help="configuration or folder; default: here")
    add_architecture(parser)
    parser.add_argument("--vary", action="append", default=[], metavar="NAMES", help="such as -all,time or -num_cpus")
    parser.add_argument(
        "--output", action="append", default=[], metavar="GLOB", help="what to compare; default: the image"
    )
    parser.add_argument(
        "--against", type=Path, metavar="RECORD", help="rebuild what a provenance record says, and compare"
    )
    parser.add_argument(
        "--statement", type=Path, metavar="FILE", help="write what the rebuilds showed, in-toto, unsigned"
    )
    parser.add_argument("--diffoscope", action="store_true", help="have it show the first difference of each blame")
    parser.add_argument("--json", action="store_true", help="print the result")


def run(options: Namespace) -> None:
    work = builder.workspace_name()
    supervise(partial(builder.remove_leftovers, work, process.faketimes().keys()))
    if options.against:
        _against(options, work)
        return
    wanted = builder.project(options.project, options.command, options.output, options.arch)
    if options.diffoscope and not shutil.which("diffoscope"):
        raise BuildplugError("diffoscope", "is not installed", "install it, or leave out --diffoscope")
    if sys.stderr.isatty():
        from rich.console import Console  # slow to import

        with Console(file=sys.stderr).status("") as status:
            result = comparison.repro(wanted, options.vary, work, lambda what: status.update(f"build: {what}"))
    else:
        result = comparison.repro(wanted, options.vary, work)
    if options.json:
        print_json(asdict(result) | {"reproducible": result.reproducible})
    else:
        sys.stdout.writelines(f"{line}\n" for line in rebuilds.summary(result))
    if options.statement:
        provenance.write(options.statement, provenance.comparison(result.outputs, {}, result.tests))
    sys.stdout.flush()
    for blame in result.blame if options.diffoscope else ():
        trees = [Path(result.kept[build]) / blame.output for build in ("control", blame.build)]
        done = process.run(["diffoscope", *trees], Path.cwd(), "compare", statuses=(0, 1))
        print(done.output, end="", flush=True)
    if not result.reproducible:
        outputs = ", ".join(dict.fromkeys(blame.output for blame in result.blame))
        raise BuildplugError(outputs, "expected the same bytes from every build", "see what they differ by, above")


def _against(options: Namespace, work: Path) -> None:
    if options.command or options.vary or options.output or options.arch or options.diffoscope:
        raise BuildplugError("repro", "expected --against RECORD without other options", status=2)
    rebuilt = against.rebuild(options.against, options.project, work)
    if options.json:
        print_json(asdict(rebuilt) | {"reproducible": rebuilt.reproducible})
    else:
        sys.stdout.writelines(f"{line}\n" for line in against.report(rebuilt))
    if options.statement:
        record = {options.against.name: files.digest(options.against)}
        tests = {"rebuild as recorded": rebuilt.reproducible}
        provenance.write(options.statement, provenance.comparison(rebuilt.recorded, record, tests))
    if rebuilt.outputs:
        raise BuildplugError(
            ", ".join(difference.what for difference in rebuilt.outputs), "expected what the record says, found others",
            "; ".join(map(str, rebuilt.others)) or "its inputs and tools are those of the record: see buildplug repro",
        )  # fmt: skip
