"""The one place that runs other programs. Never a shell."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        raise BuildplugError(words[0], f"{what} failed with {ended}", "see its messages above", output=done.stdout)
    return Tool(words, done.stdout)


def version(program: str, cwd: Path) -> str:
    """The first line that a tool says of its version; empty if it has none."""
    try:
        return run([program, "--version"], cwd, "say its version").output.partition("\n")[0]
    except BuildplugError:
        return ""
