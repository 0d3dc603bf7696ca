"""What tells one version of a program or a file from another, without reading gigabytes."""

import hashlib
import shutil
from functools import cache
from pathlib import Path

from buildplug.rules import shipped


def stamp(path: Path) -> list[int]:
    """Size in bytes and time in nanoseconds of a file: it changes when the file does."""
    return [path.stat().st_size, path.stat().st_mtime_ns]


def program(name: str) -> tuple[str | None, list[int]]:
    """Which file a program is, and which version of that file."""
    path = shutil.which(name)
    return path, stamp(Path(path)) if path else []


@cache
def ours() -> str:
    """A digest of buildplug itself: another version of it is another input of every pass."""
    paths = sorted([*Path(__file__).parent.glob("*.py"), *shipped("rules").glob("*"), *shipped("templates").glob("*")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
