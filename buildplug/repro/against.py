"""Rebuilds what a provenance record describes, and compares the outputs with its digests."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from buildplug.base import fingerprints
from buildplug.base.errors import BuildplugError, printable
from buildplug.base.process import environment
from buildplug.config import project
from buildplug.record import provenance
from buildplug.record.provenance import Difference
from buildplug.repro import builder, vary


@dataclass(frozen=True)
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


def rebuild(path: Path, root: Path) -> Rebuilt:
    """Builds a copy of the project at `root`, a folder or its configuration, and compares it with the record at `path`.
    Of the variables that tools read, exactly the record's are set. Raises BuildplugError if the record is invalid or
    the build fails."""
    record = provenance.read(path)
    root = root.parent if root.is_file() else root
    others = tuple(d for d in provenance.check(record, root) if not d.what.startswith("variable "))
    recorded = {**record.outputs, **record.byproducts}
    built = project.read(root / record.parameters.config, arch=record.parameters.arch)
    if odd := recorded.keys() - {built.kernel.name, built.draft.name}:
        raise BuildplugError(
            path, f"expected digests of what {built.path.name} makes, found {min(odd)!r}", "fetch it again"
        )
    wanted = builder.project(built.path, (), (), record.parameters.arch)
    folder = Path(wanted.outputs[0]).parent
    wanted = replace(wanted, outputs=tuple(str(folder / glob.escape(name)) for name in recorded))
    users = {name: value for name, value in os.environ.items() if name not in fingerprints.VARIABLES}
    env = environment(users | record.parameters.environment)
    with builder.interruptible(), builder.temporary_workspace(wanted, env) as workspace:
        tree = builder.build(wanted, workspace, vary.settings_of(workspace, (), frozenset()))
        found = {Path(name).name: digest for name, digest in builder.digests(wanted, tree).items()}
        wrong = tuple(Difference(n, before, found[n]) for n, before in recorded.items() if found[n] != before)
        kept = workspace.work / builder.KEPT / "rebuild"
        if wrong:
            tree.rename(kept)
    return Rebuilt(str(path), recorded, wrong, found, others, str(kept) if wrong else "")


def report(rebuilt: Rebuilt) -> Iterator[str]:
    """The result as lines of text."""
    wrong = {difference.what for difference in rebuilt.outputs}
    for name, digest in rebuilt.digests.items():
        yield printable(f"{name}: {'not as' if name in wrong else 'as'} {rebuilt.record} says, SHA-256 {digest}")
    yield from (printable(str(difference)) for difference in rebuilt.others)
    if rebuilt.kept:
        yield printable(f"kept: rebuild in {rebuilt.kept}")
