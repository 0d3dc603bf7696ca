"""The exceptions of buildplug, and the format of its messages."""

import os
import sys


def printable(text: str) -> str:
    """`text` on one line, safe for a terminal and an assembler: unprintable characters are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def warn(where: object, problem: str, remedy: str = "") -> None:
    """Prints a warning, one line like the message of a BuildplugError."""
    said = printable(f"{where}: {problem}" + (f"; {remedy}" if remedy else ""))
    print(f"buildplug: warning: {said}", file=sys.stderr, flush=True)


def inform(action: str, what: str) -> None:
    """Prints a line as Linux's make does of what it runs, unless make was told to be silent (-s)."""
    options = os.environ.get("MAKEFLAGS", "").partition(" ")[0]  # make has those of one letter in the first word
    if not (options.isalpha() and "s" in options):
        print(f"  {action:<7} {printable(what)}", file=sys.stderr, flush=True)


class BuildplugError(Exception):
    """An error that the user can fix.

    The message is one line, `where: problem; remedy`: the location, what was expected and what was found,
    and what to do about it. `output` is the output of a tool that failed, to be shown unchanged;
    `status` is the exit status of the command.
    """

    def __init__(self, where: object, problem: str, remedy: str = "", *, output: str = "", status: int = 1):
        super().__init__(printable(f"{where}: {problem}" + (f"; {remedy}" if remedy else "")))
        self.output = output
        self.status = status


class Interrupted(KeyboardInterrupt):
    """A termination signal came: its name, and the status to exit with, as a shell reports it."""

    def __init__(self, name: str, status: int):
        super().__init__(name)
        self.status = status


class Ended(Exception):
    """The command is done, by a child of this process that has exited with this status; see supervisor.py."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status
