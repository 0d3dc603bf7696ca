"""What tells one version of a program or a file from another, without reading gigabytes."""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

from buildplug.base import data

# What compilers and linkers say that they read beside their command.
VARIABLES = (
    "CCC_OVERRIDE_OPTIONS", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH", "GCC_EXEC_PREFIX", "GNUTARGET", "LDEMULATION",
    "LD_RUN_PATH", "LIBRARY_PATH", "SOURCE_DATE_EPOCH",
)  # fmt: skip


def variables() -> dict[str, str]:
    """The variables that are set of those that make another image."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def stamp(path: Path) -> list[int]:
    """Size in bytes and time in nanoseconds of a file: it changes when the file does."""
    return [path.stat().st_size, path.stat().st_mtime_ns]


def program(name: str) -> tuple[str | None, list[int]]:
    """Which file a program is, and which version of that file."""
    path = shutil.which(name)
    return path, stamp(Path(path)) if path else []


@cache
def own_digest() -> str:
    """A digest of buildplug itself: another version of it is another input of every pass."""
    paths = [*data.PACKAGE.glob("*.py"), *data.PACKAGE.glob("*/*.py"), *data.templates(), *data.rules().values()]
    paths.sort(key=lambda path: (path.parent.name, path.name))  # the same installed and in the source tree
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
