"""Files that are either the old ones or the new ones, whenever the process dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buildplug.base.errors import BuildplugError

SCRATCH = ".buildplug-tmp"  # ends the names of files that are not yet what they will be


def read(path: Path) -> bytes:
    """The bytes of a file. Raises BuildplugError if it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise BuildplugError(path, f"cannot be read: {getattr(error, 'strerror', error)}") from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises BuildplugError."""
    try:
        return read(path).decode()
    except UnicodeDecodeError as error:
        raise BuildplugError(
            path, f"expected UTF-8, found byte {error.object[error.start]:#04x} at {error.start}"
        ) from None


def sweep(directory: Path) -> None:
    """Removes what a killed process left half-written in a directory, by replacing()."""
    for scratch in directory.glob(f".*{SCRATCH}"):
        if scratch.is_file() and not scratch.is_symlink():
            scratch.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; at the end it takes the place of `path`, unless it holds the
    same bytes: then `path` and its time stay untouched, so that nothing that depends on it runs again."""
    import filecmp  # these take a while to import, and who only reads needs none of them
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BuildplugError(path, "cannot be written: expected a file, found a device or a pipe")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=SCRATCH, dir=path.parent)
        os.close(descriptor)
    except (OSError, ValueError) as error:
        raise BuildplugError(path, f"cannot be written: {getattr(error, 'strerror', error)}") from None
    scratch = Path(name)
    try:
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o666 & ~umask)
        yield scratch
        if not (path.is_file() and filecmp.cmp(scratch, path, shallow=False)):
            scratch.replace(path)
    except OSError as error:
        raise BuildplugError(path, f"cannot be written: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Makes `path` hold `content`; leaves it alone if it does already."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def digest(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal."""
    import hashlib

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise BuildplugError(path, f"cannot be read: {getattr(error, 'strerror', error)}") from None
