"""A folder beside an output, for what one run makes on the way. It goes with the run; one that a killed run left goes
with the next run for the same output."""

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


@contextmanager
def folder(output: Path) -> Iterator[Path]:
    """Yields a new hidden folder, an absolute path. Raises BuildplugError if there can be none."""
    prefix = f".{output.name}."
    try:
        for left in output.parent.absolute().glob(f"{glob.escape(prefix)}*{SCRATCH}"):
            if (lock := _lock(left, fcntl.LOCK_NB)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
        lock = None
        while lock is None:  # somebody may take a folder that is not locked yet for one that a killed run left
            made = Path(tempfile.mkdtemp(prefix=prefix, suffix=SCRATCH, dir=output.parent.absolute()))
            lock = _lock(made, 0)
    except OSError as error:
        raise BuildplugError(output, f"cannot be written: {error.strerror}") from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _lock(path: Path, how: int) -> int | None:
    """A descriptor that holds the folder at `path`; None if it is another's, or gone, or no folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
