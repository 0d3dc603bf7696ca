"""The one place that runs other programs. Never a shell."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from buildplug.errors import BuildplugError


@dataclass(frozen=True)
class Tool:
    """What ran: its output, both streams in one, as text."""

    command: tuple[str, ...]
    output: str


def run(command: Sequence[str | Path], cwd: Path, what: str) -> Tool:
    """Runs a program that is to do `what`. Messages come in English, so that builds compare.

    Raises BuildplugError with the program's own output if it is missing or fails.
    """
    words = tuple(str(word) for word in command)
    try:
        done = subprocess.run(
            words, cwd=cwd, env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="backslashreplace", check=False,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BuildplugError(
            words[0], f"cannot be run to {what}: {reason}", "install it, or name another in [toolchain]"
        ) from None
    if done.returncode:
        raise BuildplugError(
            words[0], f"{what} failed with {_ended(done.returncode)}", "see its messages above", output=done.stdout
        )
    return Tool(words, done.stdout)


def hand_over(command: Sequence[str | Path], what: str) -> None:
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
class Ended:
    """How a program ended, and what it said on each stream."""

    status: int  # as a shell has it: 128 and the signal's number if a signal ended it
    out: bytes
    err: bytes


def heard(command: Sequence[str], env: Mapping[str, str]) -> Ended:
    """Runs the user's program where we are, in his own language. Raises BuildplugError if it cannot be run."""
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except (OSError, ValueError) as error:
        raise BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
    return Ended(done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr)


def become(command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Ends this program and runs another in its place. Raises BuildplugError if it cannot be run."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], list(command), env)
    except (OSError, ValueError) as error:
        raise BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
