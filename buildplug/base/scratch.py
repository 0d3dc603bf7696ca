"""A temporary folder beside an output. It is removed at the end of the run; one that a killed run left behind is
removed by the next run for the same output."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.base.files import SCRATCH
from buildplug.base.interruption import to_the_end


@contextmanager
def folder(output: Path) -> Iterator[Path]:
    """Yields the absolute path of a new hidden folder. Raises BuildplugError if it cannot be made."""
    prefix = f".{output.name}."
    held: dict[Path, int] = {}  # the folder, and what locks it

    def make() -> None:
        while not held:  # another run may remove the folder as stale before it is locked
            made = Path(tempfile.mkdtemp(prefix=prefix, suffix=SCRATCH, dir=output.parent.absolute()))
            if (lock := _lock(made, 0)) is not None:
                held[made] = lock

    def remove() -> None:
        for made, lock in held.items():
            shutil.rmtree(made, ignore_errors=True)
            os.close(lock)

    try:
        try:
            remove_stale(output.parent, prefix)
            to_the_end(make)
        except OSError as error:
            raise BuildplugError(output, f"cannot be written: {error.strerror}") from None
        yield next(iter(held))
    finally:
        to_the_end(remove)


def remove_stale(directory: Path, prefix: str = ".") -> None:
    """Removes the folders that killed runs have left in a directory, of outputs whose folders' names begin so."""
    for stale in directory.absolute().glob(f"{glob.escape(prefix)}*{SCRATCH}"):
        if (lock := _lock(stale, fcntl.LOCK_NB)) is not None:
            shutil.rmtree(stale, ignore_errors=True)
            os.close(lock)


def _lock(path: Path, flags: int) -> int | None:
    """A descriptor that locks the folder at `path`; None if another process has it, or it is gone, or no folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
