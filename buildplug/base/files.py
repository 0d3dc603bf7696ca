"""Atomic writes: a file has its old or its new content, even if the process is killed."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from buildplug.base.errors import BuildplugError
from buildplug.base.interruption import to_the_end

SCRATCH = ".buildplug-tmp"  # suffix of temporary files
MOST = 64 << 20  # bytes of a text
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2)
PIECE = 4 << 20  # bytes that a digest is made of at a time: a thread waits for others between two pieces
CLOCK = 10_000_000  # nanoseconds that the clock of a file system may be behind ours


def read(path: Path, most: int = -1) -> bytes:
    """The content of a file, but no more than its first `most` bytes unless that is -1. Raises BuildplugError if it
    cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BuildplugError(path, f"cannot be read: {getattr(error, 'strerror', error)}") from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises BuildplugError, also if it is longer than MOST: it may be endless."""
    content = read(path, MOST + 1)
    if len(content) > MOST:
        raise BuildplugError(path, f"expected a text of at most {MOST >> 20} MiB, found more")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BuildplugError(
            path, f"expected UTF-8, found byte {error.object[error.start]:#04x} at {error.start}"
        ) from None


def remove(*paths: Path) -> None:
    """Removes those that are files; one that is a device, or is not there, stays as it is. Raises BuildplugError."""
    for path in paths:
        try:
            if path.is_file():
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BuildplugError(path, f"cannot be removed: {error.strerror}") from None


def remove_scratch(directory: Path) -> None:
    """Removes the temporary files that replacing() left in a directory when its process was killed."""
    for scratch in directory.glob(f".*{SCRATCH}"):
        if scratch.is_file() and not scratch.is_symlink():
            scratch.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, which replaces `path` at the end. If the content is the same, `path` and
    its modification time stay as they are, so that nothing that depends on it is rebuilt. Raises BuildplugError."""
    import filecmp  # lazy: slow to import, and not needed for reading
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
            put(scratch, path)
    except OSError as error:
        raise BuildplugError(path, f"cannot be written: {error.strerror}") from None
    finally:
        to_the_end(lambda: scratch.unlink(missing_ok=True))


def put(made: Path, path: Path) -> None:
    """Moves a file to a path, in one step: what has been there is gone. Raises OSError.

    Where the system can, the two change places, and the old one is removed. Where a rename replaces a file, ext4 has
    the new one written to the disk first (auto_da_alloc in ext4(5)), which takes longer than to copy an image.
    """
    import ctypes  # lazy: slow to import, and not needed for reading

    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if path.is_file() else None
    names = (AT_FDCWD, os.fsencode(made), AT_FDCWD, os.fsencode(path))
    if exchange and not exchange(*names, RENAME_EXCHANGE):
        made.unlink()
    else:
        made.replace(path)


def write(path: Path, content: str | bytes) -> None:
    """Writes `content` to `path`, atomically; does nothing if it is there already. Raises BuildplugError."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def is_special(path: Path) -> bool:
    """Whether a path is of something that is no regular file, such as a pipe, whose reader would wait."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # there is none: reading it says so
        return False


_digests = dict[tuple[int, ...], str]()  # stamp of a file -> its digest
_reading = dict[Path, Thread]()  # file -> the thread that makes its digest


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; builds ask several times for that of an image, which is read once.
    Raises BuildplugError."""
    if thread := _reading.pop(path, None):
        thread.join()
    return _digest(path)


def read_ahead(*paths: Path) -> None:
    """Starts threads that make the digests of files, for which digest() then waits: other processors do that while
    this one goes on. A file that cannot be read is left to digest()."""

    def make(path: Path) -> None:
        with suppress(BuildplugError):
            _digest(path)

    for path in paths:
        _reading[path] = Thread(target=make, args=(path,), daemon=True)
        _reading[path].start()


def _digest(path: Path) -> str:
    import hashlib

    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            said, now = os.fstat(file.fileno()), time.time_ns()
            stamp = (said.st_dev, said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns)
            if stamp in _digests:
                return _digests[stamp]
            buffer = memoryview(bytearray(min(said.st_size + 1, PIECE)))
            while size := file.readinto(buffer):
                found.update(buffer[:size])
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BuildplugError(path, f"cannot be read: {getattr(error, 'strerror', error)}") from None
    coarse = not said.st_mtime_ns % CLOCK and not said.st_ctime_ns % CLOCK  # a file system with whole seconds
    if not coarse and now - max(said.st_mtime_ns, said.st_ctime_ns) > CLOCK:  # else it may be written with this stamp
        _digests[stamp] = found.hexdigest()
    return found.hexdigest()


def share(source: Path, scratch: Path) -> None:
    """Makes a scratch file the same file as another, for which it takes neither time nor room; or a copy of it, where
    a file cannot have two names. Raises OSError."""
    import shutil  # lazy: slow to import

    scratch.unlink()
    try:
        os.link(source, scratch)
    except OSError:
        shutil.copy(source, scratch)
