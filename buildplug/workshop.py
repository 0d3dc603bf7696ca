"""Where `buildplug repro` builds: copies of a project in a folder of its own, with what has to run or be mounted
meanwhile. Of all that nothing is left, however it ends; the originals are only read."""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from buildplug import config, files
from buildplug.errors import BuildplugError
from buildplug.rules import Rule, find, shipped
from buildplug.setting import ANYBODY, Bench, Setting
from buildplug.toolchain import run, run_alone, serving

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEPT = "kept"  # the folder of builds that are done
WAIT = 10  # seconds for distccd to listen


@dataclass(frozen=True)
class Project:
    """What is built. Paths and globs are relative to `root`, where the command runs."""

    root: Path
    command: tuple[str, ...]
    outputs: tuple[str, ...]  # globs of what is compared; a folder means all files in it
    fresh: tuple[str, ...]  # what is removed before a build
    rules: tuple[Rule, ...]  # of tables that may be in an output
    ours: bool  # whether it is a configuration of buildplug's


def project(path: Path, command: Sequence[str], outputs: Sequence[str]) -> Project:
    """The project at `path`: what its configuration says, or a command in that folder. Raises BuildplugError."""
    for glob in outputs:
        if Path(glob).is_absolute() or ".." in Path(glob).parts or not Path(glob).parts:
            raise BuildplugError("--output", f"expected a path in the project, found {glob!r}", status=2)
    rules = [find(rule.stem, path) for rule in sorted(shipped("rules").glob("*.toml"))]
    if command:
        if not outputs:
            raise BuildplugError("repro", "expected --output for what the command makes, found none", status=2)
        if not path.is_dir():
            raise BuildplugError(path, "expected a folder to run the command in", "name the project's folder")
        return Project(path.resolve(), tuple(command), tuple(outputs), tuple(outputs), tuple(rules), False)
    wanted = config.read(path)
    build = wanted.build.relative_to(wanted.root) if wanted.build.is_relative_to(wanted.root) else Path("build")
    words = (sys.executable, "-P", "-m", "buildplug", "build", wanted.path.name, "--build-dir", str(build))
    rules += [table.rule for table in wanted.tables if table.rule not in rules]
    outputs = tuple(outputs) or (str(build / wanted.kernel.name),)
    return Project(wanted.root, words, tuple(outputs), (str(build),), tuple(rules), True)


def build(wanted: Project, bench: Bench, setting: Setting) -> Path:
    """Builds in a copy of the project; returns where it lies now."""
    tree = bench.work / "below" if setting.listing else setting.tree
    for path in {tree, setting.tree}:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    copy: list[str | Path] = [
        "cp",
        "-R",
        "-P",
        "--preserve=mode,timestamps,links",
        "--reflink=auto",
        f"{wanted.root}/.",
        tree,
    ]
    run(copy, bench.work, "copy the project")
    for pattern in wanted.fresh:
        for path in sorted(tree.glob(pattern)):
            if not path.parent.resolve().is_relative_to(tree.resolve()):
                raise BuildplugError(pattern, "expected a file of the project, found one behind a symbolic link")
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with ExitStack() as stack:
        if setting.listing:
            stack.enter_context(_mounted(tree, setting, bench))
        if setting.distcc:
            stack.enter_context(_compile_server(setting.distcc, bench))
        env = {**setting.env, "PWD": str(setting.tree)}
        run_alone(wanted.command, setting.tree, "build", env, setting.umask, setting.prefix)
    return tree


@contextmanager
def _mounted(below: Path, setting: Setting, bench: Bench) -> Iterator[None]:
    """Has the tree be a view of the folder `below` that lists its files in the setting's order."""
    try:
        run(["disorderfs", "-q", *setting.listing, below, setting.tree], bench.work, "order files")
        yield
    finally:
        with suppress(BuildplugError):  # it never was mounted
            run(["fusermount", "-u", "-z", setting.tree], bench.work, "unmount")


@contextmanager
def _compile_server(log: Path, bench: Bench) -> Iterator[None]:
    command = [*ANYBODY, "distccd", "--daemon", "--no-detach", "--listen", "127.0.0.1", "--allow", "127.0.0.1",
               "--port", str(bench.port), "--log-stderr", "--log-level", "info"]  # fmt: skip
    with serving(command, bench.work, "compile", os.environ | {"TMPDIR": str(bench.work)}, log):
        until = time.monotonic() + WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", bench.port), WAIT).close()
                break
            except OSError:
                if time.monotonic() > until:
                    said = files.read_text(log)
                    raise BuildplugError("distccd", "does not listen", "leave out launcher", output=said) from None
                time.sleep(0.05)
        yield


def digests(wanted: Project, tree: Path) -> dict[str, str]:
    """The SHA-256 of each output, by its path in the tree. Raises BuildplugError for one that is missing."""
    found: dict[str, str] = {}
    for pattern in wanted.outputs:
        paths = [
            path for top in sorted(tree.glob(pattern)) for path in (top, *sorted(top.rglob("*"))) if path.is_file()
        ]
        if not paths:
            raise BuildplugError(pattern, "expected an output of that name, found none", "name it with --output")
        found |= {str(path.relative_to(tree)): files.digest(path) for path in paths}
    return found


@contextmanager
def workshop(wanted: Project, env: Mapping[str, str]) -> Iterator[Bench]:
    """A folder to build in, with the environment `env`. At the end only trees that are kept are left, or nothing."""
    work = Path(tempfile.mkdtemp(prefix="buildplug-repro-"))
    try:
        if work.resolve().is_relative_to(wanted.root):
            raise BuildplugError(work, "expected a temporary folder outside of the project", "set TMPDIR")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        (work / KEPT).mkdir()
        yield Bench(work, int(time.time()), port, wanted.ours, env)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for path in work.iterdir():
        if path.name != KEPT:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    with suppress(OSError):  # trees are kept
        (work / KEPT).rmdir()
        work.rmdir()


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes an error of the first signal that would end us; what comes after it waits until all is cleared away."""
    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}  # as nohup(1) has it
    came: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        came.append(number)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        name = signal.Signals(came[0]).name
        raise BuildplugError("repro", f"interrupted by {name}; nothing of it is left", status=128 + came[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
