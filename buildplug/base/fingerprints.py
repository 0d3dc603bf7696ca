"""Fingerprints that tell whether a program or a file has changed, without reading gigabytes."""

import os
import shutil
from functools import cache
from pathlib import Path

from buildplug.base import data

# Environment variables that compilers and linkers document as input.
VARIABLES = (
    "CCC_OVERRIDE_OPTIONS", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH", "GCC_EXEC_PREFIX", "GNUTARGET", "LDEMULATION",
    "LD_RUN_PATH", "LIBRARY_PATH", "SOURCE_DATE_EPOCH",
)  # fmt: skip


def variables() -> dict[str, str]:
    """Those of VARIABLES that are set: name -> value."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def stamp(path: Path) -> list[int]:
    """The size of a file, bytes, and its modification time, nanoseconds."""
    return [path.stat().st_size, path.stat().st_mtime_ns]


def program(name: str) -> tuple[str | None, list[int]]:
    """The path of a program in PATH, None if there is none, and the stamp of that file."""
    path = shutil.which(name)
    return path, stamp(Path(path)) if path else []


@cache
def own_digest() -> str:
    """The digest of buildplug itself, SHA-256: an input of every pass."""
    return _sha256(b"".join(path.read_bytes() for path in data.own_files()))


def of(*settings: object) -> str:
    """What changes with settings, with buildplug itself, and with what compilers take from the environment."""
    return by_us(variables(), settings)


def by_us(*settings: object) -> str:
    """What changes with settings, and with buildplug itself."""
    said = repr((own_digest(), settings))
    return _sha256(said.encode(errors="surrogateescape"))


def _sha256(data: bytes) -> str:
    from hashlib import sha256  # lazy: it loads a large library

    return sha256(data).hexdigest()
