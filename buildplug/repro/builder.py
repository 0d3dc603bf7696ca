"""Builds copies of a project in a temporary folder, with the mounts that `buildplug repro` needs. All of it
is removed, however it ends; the project itself is only read."""

import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from buildplug.base import files, process
from buildplug.base.errors import BuildplugError, Interrupted
from buildplug.base.interruption import to_the_end
from buildplug.base.process import run, run_isolated, serving, subreaper
from buildplug.base.records import frozen
from buildplug.config.project import read
from buildplug.config.rule import Rule, find_shipped
from buildplug.repro.settings import Settings, Workspace

KEPT = "kept"  # the folder of finished builds
TEMPORARY = "tmp"  # the folder of the builds' temporary files, such as the fifo that a killed make leaves behind


@frozen
class Project:
    """A project to build. Paths and globs are relative to `root`, where the command runs."""

    root: Path
    command: tuple[str, ...]
    outputs: tuple[str, ...]  # globs of the files to compare; a folder means all files in it
    fresh: tuple[str, ...]  # globs of the files to remove before a build
    rules: tuple[Rule, ...]  # of tables that an output may contain
    is_buildplug: bool  # whether buildplug builds a configuration; else a command runs


def project(path: Path, command: Sequence[str], outputs: Sequence[str], arch: str = "") -> Project:
    """The project at `path`: a configuration, for its own architecture or `arch`, or a folder to run `command` in.
    Raises BuildplugError."""
    for pattern in outputs:
        parts = Path(pattern).parts
        if not parts or parts[0] == "/" or ".." in parts or any("**" in part != "**" for part in parts):
            raise BuildplugError("--output", f"expected a path or a glob in the project, found {pattern!r}", status=2)
    rules = find_shipped()
    if command:
        if arch:
            raise BuildplugError("repro", "expected --arch with a configuration, found it with a command", status=2)
        if not outputs:
            raise BuildplugError("repro", "expected --output for what the command makes, found none", status=2)
        if not path.is_dir():
            raise BuildplugError(path, "expected a folder to run the command in", "name the project's folder")
        return Project(path.resolve(), tuple(command), tuple(outputs), tuple(outputs), tuple(rules), False)
    wanted = read(path, arch=arch)
    build = wanted.build.relative_to(wanted.root) if wanted.build.is_relative_to(wanted.root) else Path("build")
    words = [sys.executable, "-P", "-m", "buildplug", "build", wanted.path.name, "--build-dir", str(build)]
    words += ["--arch", wanted.arch.name]
    rules = [*(table.rule for table in wanted.tables), *rules]  # first, as they may adjust shipped ones
    outputs = tuple(outputs) or (glob.escape(str(build / wanted.kernel.name)),)
    return Project(wanted.root, tuple(words), tuple(outputs), (glob.escape(str(build)),), tuple(rules), True)


def build(wanted: Project, workspace: Workspace, settings: Settings) -> Path:
    """Builds in a copy of the project; returns the copy's path. Raises BuildplugError."""
    tree = workspace.work / "below" if settings.listing else settings.tree
    for path in {tree, settings.tree}:
        remove(path)
        path.mkdir(parents=True)
    copy = ["cp", "-R", "-P", "--preserve=mode,timestamps,links", "--reflink=auto", f"{wanted.root}/.", str(tree)]
    run(copy, workspace.work, "copy the project")
    tree.chmod(tree.stat().st_mode | stat.S_IRWXU)  # the project's own mode may lack write permission
    for pattern in wanted.fresh:
        for path in sorted(tree.glob(pattern)):
            if not path.parent.resolve().is_relative_to(tree.resolve()):
                raise BuildplugError(pattern, "expected a file of the project, found one behind a symbolic link")
            remove(path)
    with ExitStack() as stack:
        if settings.listing:
            stack.enter_context(_mounted(tree, settings, workspace))
        env = {**settings.env, "PWD": str(settings.tree)}
        run_isolated(wanted.command, settings.tree, "build", env, settings.umask, settings.prefix)
    return tree


@contextmanager
def _mounted(below: Path, settings: Settings, workspace: Workspace) -> Iterator[None]:
    """Mounts a view of the folder `below`, which lists files in the order of the settings, as their tree."""
    command: list[str | Path] = ["disorderfs", "-f", "-q", *settings.listing, below, settings.tree]
    log = workspace.work / "disorderfs.log"
    try:
        with serving(command, workspace.work, "order files", os.environ, log, lambda: os.path.ismount(settings.tree)):
            yield
    finally:
        to_the_end(lambda: _unmount(settings.tree, workspace.work))


def _unmount(tree: Path, work: Path) -> None:
    with suppress(BuildplugError):  # it was never mounted
        run(["fusermount", "-u", "-z", tree], work, "unmount")


def digests(wanted: Project, tree: Path) -> dict[str, str]:
    """The SHA-256 of each output, by its path in the tree. A symbolic link is an output by its path and target, and so
    is the file that it points to, if that is in the tree. Raises BuildplugError for a missing output."""
    found: dict[str, str] = {}
    for pattern in wanted.outputs:
        before = len(found)
        for top in sorted(tree.glob(pattern)):
            if not top.exists():  # a dangling link, which only newer Pythons list
                continue
            for path in (top, *sorted(top.rglob("*"))):
                name = str(path.relative_to(tree))
                if path.is_symlink():
                    target = path.readlink()
                    found[f"{name} -> {target}"] = hashlib.sha256(os.fsencode(target)).hexdigest()
                    if target.is_absolute() or not Path(os.path.realpath(path)).is_relative_to(tree.resolve()):
                        if path == top:
                            raise BuildplugError(name, f"expected a file of the project, found a link to {target}",
                                                 "name what it leads to with --output")  # fmt: skip
                        continue
                if path.is_file():
                    found[name] = files.digest(path)
        if len(found) == before:
            raise BuildplugError(pattern, "expected an output of that name, found none", "name it with --output")
    return found


def remove(path: Path) -> None:
    """Removes a file, or a folder with its content, even if it is read-only. Raises BuildplugError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        run(["chmod", "-R", "u+rwX", path], path.parent, "remove it")
        shutil.rmtree(path)


def workspace_name() -> Path:
    """The path of a temporary folder to make."""
    return Path(tempfile.gettempdir(), f"buildplug-repro-{secrets.token_hex(8)}")


@contextmanager
def temporary_workspace(work: Path, wanted: Project, env: Mapping[str, str]) -> Iterator[Workspace]:
    """Makes the temporary folder `work` to build in, with the environment `env`. At the end only kept trees remain in
    it; it is removed if there are none."""
    keep = False

    def clean() -> None:
        _unmount_below(work)
        for path in work.iterdir() if keep else [work]:
            if path.name != KEPT:
                remove(path)

    work.mkdir(0o700)
    try:
        if work.resolve().is_relative_to(wanted.root):
            raise BuildplugError(work, "expected a temporary folder outside of the project", "set TMPDIR")
        for name in (KEPT, TEMPORARY):
            (work / name).mkdir()
        inside = {**env, "TMPDIR": str(work / TEMPORARY)}
        with subreaper():
            yield Workspace(work, int(time.time()), wanted.is_buildplug, inside)
        keep = any((work / KEPT).iterdir())
    finally:
        to_the_end(clean)


def remove_leftovers(work: Path, running: Collection[int]) -> None:
    """Removes what a killed run left: its folder, mounts in that, and shared memory of processes that have ended; not
    of those that were `running` before. Raises BuildplugError."""
    _unmount_below(work)
    remove(work)
    for pid, paths in process.faketimes().items():
        if pid not in running and not Path(f"/proc/{pid}").exists():
            files.remove(*paths)


def _unmount_below(work: Path) -> None:
    """Unmounts what is mounted in a folder, as nothing may be removed there before. Raises BuildplugError."""

    def mounted() -> list[str]:
        fields = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]  # see proc(5)
        points = [re.sub(r"\\(\d{3})", lambda digits: chr(int(digits[1], 8)), field) for field in fields]
        return [point for point in points if Path(point).is_relative_to(work.resolve())]

    for point in reversed(mounted()):
        with suppress(BuildplugError):
            run(["fusermount", "-u", "-z", point], work.parent, "unmount")
    if points := mounted():
        raise BuildplugError(points[0], "cannot be unmounted", "unmount it, and remove the folder")


@contextmanager
def interruptible() -> Iterator[None]:
    """Says in a BuildplugError that a termination signal has ended the block."""
    try:
        yield
    except Interrupted as interrupted:
        raise BuildplugError(
            "repro", f"interrupted by {interrupted}; nothing is left behind", status=interrupted.status
        ) from None
