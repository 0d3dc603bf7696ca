"""Rebuilds what a provenance record describes, and compares the outputs with its digests.

A record may come from anybody, so it chooses nothing that runs or is read: not a program, not a variable but the time,
and no file but the configuration, which must be one of the project.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from buildplug.base import fingerprints
from buildplug.base.errors import BuildplugError, printable
from buildplug.base.process import environment
from buildplug.base.records import frozen
from buildplug.config import project
from buildplug.config.project import Config
from buildplug.record import provenance
from buildplug.record.build import RECORD, name_of, read_record
from buildplug.record.provenance import Difference, Record
from buildplug.repro import builder, vary

EPOCH = "SOURCE_DATE_EPOCH"


@frozen
class Rebuilt:
    """The result of a rebuild."""

    record: str
    recorded: dict[str, str]  # the record's outputs: SHA-256
    outputs: tuple[Difference, ...]  # those that are not as recorded
    digests: dict[str, str]  # of the rebuild's outputs: SHA-256
    others: tuple[Difference, ...]  # inputs and tools that differ from the record
    kept: str  # the rebuild's tree, if an output is not as recorded; else empty

    @property
    def reproducible(self) -> bool:
        return not self.outputs


def rebuild(path: Path, root: Path, work: Path) -> Rebuilt:
    """Builds a copy of the project at `root`, a folder or its configuration, in the new folder `work`, and compares it
    with the record at `path`. Of the variables that tools read, it has the record's SOURCE_DATE_EPOCH, and those that
    the user has set to what the record says. Raises BuildplugError if the record is invalid or the build fails."""
    record = provenance.read(path)
    recorded = {**record.outputs, **record.byproducts}
    built = project.read(_configuration(record, root), arch=record.parameters.arch)
    if odd := recorded.keys() - {built.kernel.name, built.draft.name}:
        raise BuildplugError(
            path, f"expected digests of what {built.path.name} makes, found {min(odd)!r}", "fetch it again"
        )
    wanted = builder.project(built.path, (), (), record.parameters.arch)
    folder = Path(wanted.outputs[0]).parent
    wanted = replace(wanted, outputs=tuple(str(folder / glob.escape(name)) for name in recorded))
    users = {name: value for name, value in os.environ.items() if name not in fingerprints.VARIABLES}
    variables = {n: v for n, v in record.parameters.environment.items() if n == EPOCH or os.environ.get(n) == v}
    env = environment(users | variables)
    with builder.interruptible(), builder.temporary_workspace(work, wanted, env) as workspace:
        tree = builder.build(wanted, workspace, vary.settings_of(workspace, (), frozenset()))
        found = {Path(name).name: digest for name, digest in builder.digests(wanted, tree).items()}
        (noted,) = tree.glob(str(folder / glob.escape(f"{built.kernel.name}{RECORD}")))
        inputs = read_record(noted).inputs
        inputs = {_in_project(name, tree, built): digest for name, digest in inputs.items()}
        others = tuple(provenance.check(record, built, inputs, variables))
        wrong = tuple(Difference(n, before, found[n]) for n, before in recorded.items() if found[n] != before)
        kept = workspace.work / builder.KEPT / "rebuild"
        if wrong:
            tree.rename(kept)
    return Rebuilt(str(path), recorded, wrong, found, others, str(kept) if wrong else "")


def _in_project(name: str, tree: Path, built: Config) -> str:
    """The name of an input of the rebuild in `tree`, as a build of the project itself has it."""
    if name.startswith(".."):  # a file outside of the tree: maybe one of the project, by its absolute path
        return os.path.relpath(tree / name, built.root)
    return name_of(built, built.root / name)


def _configuration(record: Record, root: Path) -> Path:
    """The path of the configuration that a record names, which must be one of the project. Raises BuildplugError."""
    name = record.parameters.config
    if root.is_file() and root.name != name:
        raise BuildplugError(record.path, f"expected the record of {root.name}, found that of {name!r}")
    folder = root.parent if root.is_file() else root
    path = folder / name
    if path.exists() and not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
        raise BuildplugError(path, "expected a file of the project", "name the configuration in place of its folder")
    return path


def report(rebuilt: Rebuilt) -> Iterator[str]:
    """The result as lines of text."""
    wrong = {difference.what for difference in rebuilt.outputs}
    for name, digest in rebuilt.digests.items():
        yield printable(f"{name}: {'not as' if name in wrong else 'as'} {rebuilt.record} says, SHA-256 {digest}")
    yield from (printable(str(difference)) for difference in rebuilt.others)
    if rebuilt.kept:
        yield printable(f"kept: rebuild in {rebuilt.kept}")
