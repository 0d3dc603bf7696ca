"""Runs other programs, never through a shell. Nothing else does, except passing.py."""

import fcntl
import os
import resource
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.base.supervisor import adopt_orphans, children, end_children

LAST_SECOND = 253402300799  # of the year 9999, since 1970
WAIT = 10  # seconds until a server must be ready
SHARED_MEMORY = Path("/dev/shm")
MOST = {resource.RLIMIT_AS: 1 << 30, resource.RLIMIT_FSIZE: 1 << 30, resource.RLIMIT_CPU: 10}  # of a filter: bytes, s


@frozen
class Ran:
    """A program that ran, and its output: both streams in one, as text."""

    command: tuple[str, ...]
    output: str


def run(
    command: Sequence[str | Path], cwd: Path, what: str, *, statuses: Sequence[int] = (0,),
    meanwhile: Callable[[], None] = lambda: None,
) -> Ran:  # fmt: skip
    """Runs a program to do `what`; any of `statuses` is success. Its messages are in English (LC_ALL=C), so that
    builds compare. `meanwhile` is called while it runs.

    Raises BuildplugError with the program's output if it is missing or fails.
    """
    with _piped(command, cwd, what) as process:
        meanwhile()
        output, _ = process.communicate()
    return _result(command, what, process.returncode, output, statuses)


def run_all(commands: Sequence[Sequence[str | Path]], cwd: Path, what: str) -> None:
    """Runs programs as run() does, as many at a time as there are processors. What they print is only in the error of
    the first that fails. Raises BuildplugError."""
    with ExitStack() as ends:
        waiting = deque[tuple[Sequence[str | Path], subprocess.Popen[str]]]()

        def end_first() -> None:
            command, process = waiting.popleft()
            output, _ = process.communicate()
            _result(command, what, process.returncode, output)

        for command in commands:
            if len(waiting) == len(os.sched_getaffinity(0)):
                end_first()
            waiting.append((command, ends.enter_context(_piped(command, cwd, what))))
        while waiting:
            end_first()


@contextmanager
def _piped(command: Sequence[str | Path], cwd: Path, what: str) -> Iterator["subprocess.Popen[str]"]:
    """Runs a program whose output the block reads; kills it if the block fails."""
    process = _start(command, cwd, what, env=environment() | {"LC_ALL": "C"}, stdout=subprocess.PIPE)
    with process, _killed_in_failure(process):
        yield process


@contextmanager
def _killed_in_failure(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Kills a process if the block fails, which else would wait for it."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


def run_isolated(
    command: Sequence[str | Path],
    cwd: Path,
    what: str,
    env: Mapping[str, str],
    umask: int = -1,
    started_by: Sequence[str] = (),
) -> Ran:
    """Runs a program as run() does, but with exactly the environment `env`, a umask (-1: the caller's), wrapped by
    the programs `started_by`, and in a process group of its own, which is killed at the end; see subreaper()."""
    # Not a pipe: a process that stays behind and holds it open would keep us waiting.
    with os.fdopen(os.memfd_create("output"), "r", encoding="utf-8", errors="backslashreplace") as output:
        fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
        words = [*started_by, *command]
        with _group(words, cwd, what, env=env, umask=umask, stdout=output) as process:
            status = process.wait()
        output.seek(0)
        return _result(command, what, status, output.read())


@contextmanager
def serving(
    command: Sequence[str | Path], cwd: Path, what: str, env: Mapping[str, str], log: Path, ready: Callable[[], bool]
) -> Iterator[None]:
    """Runs a server for the duration of the block, in a process group of its own. Its output is appended to the file
    `log`. Raises BuildplugError if it is not `ready` within WAIT seconds."""
    with log.open("ab") as file, _group(command, cwd, what, env=env, stdout=file) as process:
        deadline = time.monotonic() + WAIT
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                output = log.read_text(errors="backslashreplace")
                raise BuildplugError(
                    command[0], f"did not start to {what} in {WAIT} s", "see its messages above", output=output
                )
            time.sleep(0.02)
        yield


@contextmanager
def subreaper() -> Iterator[None]:
    """Adopts orphaned descendants, daemons included, so that they can be killed with the group that started them. Kills
    those that still run at the end."""
    before = children()
    adopt_orphans()
    try:
        yield
    finally:
        end_children(before, grace=0)


def environment(users: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for tools: the user's. If SOURCE_DATE_EPOCH is set
    (reproducible-builds.org/specs/source-date-epoch), adds the variables for what Linux's build takes from the clock,
    the user and the host (Documentation/kbuild/reproducible-builds.rst). Raises BuildplugError."""
    epoch = users.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return dict(users)
    if not (epoch.isascii() and epoch.isdigit() and int(epoch[:20]) <= LAST_SECOND):
        raise BuildplugError("SOURCE_DATE_EPOCH", f"expected seconds since 1970, found {epoch!r:.40}", "unset it")
    at = datetime.fromtimestamp(int(epoch), UTC).strftime("%a %b %e %H:%M:%S UTC %Y")  # as date(1) prints it
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
    """Runs a process as the leader of a group; at the end kills the group, and every child that we got meanwhile."""
    others = children()
    process = _start(command, cwd, what, process_group=0, **options)
    try:
        with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        end_children(others, grace=0)
        for path in _of_faketime(process.pid):
            path.unlink(missing_ok=True)


def _of_faketime(pid: int) -> list[Path]:
    """What libfaketime has in shared memory for a process, and leaves behind if that is killed."""
    return [SHARED_MEMORY / f"faketime_shm_{pid}", SHARED_MEMORY / f"sem.faketime_sem_{pid}"]


def faketimes() -> dict[int, list[Path]]:
    """What libfaketime has in shared memory for processes of this user: pid -> files."""
    pids = {path.name.rpartition("_")[2] for path in SHARED_MEMORY.glob("*faketime_s*_*")}
    every = {int(pid): _of_faketime(int(pid)) for pid in pids if pid.isdecimal()}
    return {pid: [path for path in paths if _is_ours(path)] for pid, paths in every.items()}


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:  # its process has ended meanwhile
        return False


def _result(command: Sequence[str | Path], what: str, status: int, output: str, statuses: Sequence[int] = (0,)) -> Ran:
    words = tuple(str(word) for word in command)
    if status not in statuses:
        raise BuildplugError(words[0], f"{what} failed with {_reason(status)}", "see its messages above", output=output)
    return Ran(words, output)


def run_in_foreground(command: Sequence[str | Path], what: str, more: Mapping[str, str]) -> None:
    """Runs a program on this process's streams, and on the pipe of a make that started us, by which makes share their
    jobs. `more`: of the environment. Raises BuildplugError if it is missing or fails."""
    words = [str(word) for word in command]
    try:
        status = subprocess.run(words, check=False, close_fds=False, env=os.environ | more).returncode
    except (OSError, ValueError) as error:
        raise BuildplugError(words[0], f"cannot be run to {what}: {error}", "install it") from None
    if status:
        raise BuildplugError(words[0], f"{what} failed with {_reason(status)}", "see its messages above")


def _reason(status: int) -> str:
    return _signal(status) if status < 0 else f"exit status {status}"


def _signal(status: int) -> str:
    return f"signal {-status} ({signal.strsignal(-status) or 'unknown'})" if status < 0 else ""


@cache
def version(program: str, cwd: Path) -> str:
    """The first line of the output of --version; empty if the program fails."""
    try:
        return run([program, "--version"], cwd, "print its version").output.partition("\n")[0]
    except BuildplugError:
        return ""


def filtered(command: Sequence[str], data: bytes, what: str, remedy: str) -> bytes:
    """What a program makes of hostile data: its output, of which it may make no more than MOST. Its standard input and
    output are files. Raises BuildplugError if it cannot be run, or fails."""
    with os.fdopen(os.memfd_create("input"), "w+b") as given, os.fdopen(os.memfd_create("output"), "w+b") as made:
        given.write(data)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=made, stderr=subprocess.PIPE, env=environment() | {"LC_ALL": "C"}
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BuildplugError(command[0], f"cannot be run to {what}: {reason}", remedy) from None
        with process:
            try:
                with suppress(ProcessLookupError):  # it has ended
                    for limit, most in MOST.items():
                        resource.prlimit(process.pid, limit, (most, most + 1))
                _, said = process.communicate()
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            output = said.decode(errors="backslashreplace")
            raise BuildplugError(command[0], f"{what} failed with {_reason(process.returncode)}", remedy, output=output)
        made.seek(0)
        return made.read()


@frozen
class Completed:
    """The exit status of a program, and its output on each stream."""

    status: int  # as a shell reports it: 128 plus the number of the signal that killed it
    signal: str  # that killed it: its number and name; "" if none did
    out: bytes
    err: bytes


def capture(command: Sequence[str], env: Mapping[str, str], meanwhile: Callable[[], None] = lambda: None) -> Completed:
    """Runs the user's program in the current folder, in the user's locale; `meanwhile` is called while it runs. Raises
    BuildplugError if it cannot be run."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, close_fds=False
        )  # with the pipe of a make, as above: -flto=jobserver
    except (OSError, ValueError) as error:
        raise BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
    with process, _killed_in_failure(process):
        meanwhile()
        out, err = process.communicate()
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Completed(status, _signal(process.returncode), out, err)
