"""The one place that runs other programs, but for passing.py. Never a shell."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildplug.base.errors import BuildplugError

LAST_SECOND = 253402300799  # of the year 9999
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
WAIT = 10  # seconds for a server to be ready
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Tool:
    """What ran: its output, both streams in one, as text."""

    command: tuple[str, ...]
    output: str


def run(command: Sequence[str | Path], cwd: Path, what: str, *, statuses: Sequence[int] = (0,)) -> Tool:
    """Runs a program that is to do `what`, and ends with one of `statuses` if it did. Messages come in English, so that
    builds compare.

    Raises BuildplugError with the program's own output if it is missing or fails.
    """
    process = _start(command, cwd, what, env=environment() | {"LC_ALL": "C"}, stdout=subprocess.PIPE)
    with process:
        try:
            said, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    return _result(command, what, process.returncode, said, statuses)


def run_alone(
    command: Sequence[str | Path],
    cwd: Path,
    what: str,
    env: Mapping[str, str],
    umask: int = -1,
    started_by: Sequence[str] = (),
) -> Tool:
    """As run(), in the environment `env` and nothing else, with a umask unless it is -1, `started_by` other programs,
    and in a process group of its own: whatever way this ends, nothing of it goes on running, see adopting()."""
    # Not a pipe: whoever goes on with it in hand would have us wait.
    with os.fdopen(os.memfd_create("said"), "r", encoding="utf-8", errors="backslashreplace") as said:
        fcntl.fcntl(said, fcntl.F_SETFL, os.O_APPEND)
        words = [*started_by, *command]
        with _group(words, cwd, what, env=env, umask=umask, stdout=said) as process:
            status = process.wait()
        said.seek(0)
        return _result(command, what, status, said.read())


@contextmanager
def serving(
    command: Sequence[str | Path], cwd: Path, what: str, env: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[None]:
    """Has a server run meanwhile, in a process group of its own; what it says is added to the file `log`. Raises
    BuildplugError if it is not `ready` in time."""
    with log.open("ab") as file, _group(command, cwd, what, env=env, stdout=file) as process:
        until = time.monotonic() + WAIT
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                said = log.read_text(errors="backslashreplace")
                raise BuildplugError(command[0], f"cannot be had to {what}", "see its messages above", output=said)
            time.sleep(0.02)
        yield


@contextmanager
def adopting() -> Iterator[None]:
    """Has processes whose parents have ended become our children, also if they lead sessions of their own, so that a
    group ends with all that came of it; what is left at the end is ended."""
    import ctypes  # for nothing else

    before = _children()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _end_all_but(before)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    found = ""
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # of a thread that has just ended
            found += file.read_text()
    return set(map(int, found.split()))


def _end_all_but(others: Collection[int]) -> None:
    """Ends our children but those. Theirs become ours then, so that it takes rounds."""
    spared = set(others)
    while left := _children() - spared:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except PermissionError:  # it has become another user
                spared.add(pid)
            except (ProcessLookupError, ChildProcessError):
                pass


def environment(users: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment that tools see: the user's. If that fixes the time of the build by SOURCE_DATE_EPOCH
    (reproducible-builds.org/specs/source-date-epoch), then also what Linux's own build would take from the clock,
    the user and the host (Documentation/kbuild/reproducible-builds.rst). Raises BuildplugError."""
    epoch = users.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return dict(users)
    if not (epoch.isascii() and epoch.isdigit() and int(epoch[:20]) <= LAST_SECOND):
        raise BuildplugError("SOURCE_DATE_EPOCH", f"expected seconds since 1970, found {epoch!r:.40}", "unset it")
    at = datetime.fromtimestamp(int(epoch), UTC).strftime("%a %b %e %H:%M:%S UTC %Y")  # as date(1) says it
    return {"KBUILD_BUILD_TIMESTAMP": at, "KBUILD_BUILD_USER": "user", "KBUILD_BUILD_HOST": "host", **users}


def _start(command: Sequence[str | Path], cwd: Path, what: str, **options: Any) -> "subprocess.Popen[str]":
    words = tuple(str(word) for word in command)
    try:
        return subprocess.Popen(
            words, cwd=cwd, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, encoding="utf-8",
            errors="backslashreplace", **options,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BuildplugError(
            words[0], f"cannot be run to {what}: {reason}", "install it, or name another in [toolchain]"
        ) from None


@contextmanager
def _group(command: Sequence[str | Path], cwd: Path, what: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process that leads a group; at the end the group is killed, with whatever became our child meanwhile."""
    others = _children()
    process = _start(command, cwd, what, process_group=0, **options)
    try:
        with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        _end_all_but(others)
        # libfaketime's, if it is killed
        for name in (f"faketime_shm_{process.pid}", f"sem.faketime_sem_{process.pid}"):
            (SHARED_MEMORY / name).unlink(missing_ok=True)


def _result(command: Sequence[str | Path], what: str, status: int, said: str, statuses: Sequence[int] = (0,)) -> Tool:
    words = tuple(str(word) for word in command)
    if status not in statuses:
        raise BuildplugError(words[0], f"{what} failed with {_ended(status)}", "see its messages above", output=said)
    return Tool(words, said)


def run_in_foreground(command: Sequence[str | Path], what: str) -> None:
    """Runs a program that speaks to the user itself. Raises BuildplugError if it is missing or fails."""
    words = [str(word) for word in command]
    try:
        status = subprocess.run(words, check=False).returncode
    except (OSError, ValueError) as error:
        raise BuildplugError(words[0], f"cannot be run to {what}: {error}", "install it") from None
    if status:
        raise BuildplugError(words[0], f"{what} failed with {_ended(status)}", "see its messages above")


def _ended(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def version(program: str, cwd: Path) -> str:
    """The first line that a tool says of its version; empty if it has none."""
    try:
        return run([program, "--version"], cwd, "say its version").output.partition("\n")[0]
    except BuildplugError:
        return ""


@dataclass(frozen=True)
class Completed:
    """How a program ended, and what it said on each stream."""

    status: int  # as a shell has it: 128 and the signal's number if a signal ended it
    out: bytes
    err: bytes


def capture(command: Sequence[str], env: Mapping[str, str]) -> Completed:
    """Runs the user's program where we are, in his own language. Raises BuildplugError if it cannot be run."""
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except (OSError, ValueError) as error:
        raise BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
    return Completed(done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr)
