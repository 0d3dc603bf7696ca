"""The images of a link, which several passes look at: each is read once."""

from functools import lru_cache
from pathlib import Path

from buildplug.base import fingerprints
from buildplug.image.elf import Image


@lru_cache(maxsize=2)
def _read(path: Path, stamp: tuple[int, ...]) -> Image:
    return Image(path)


def read(path: Path) -> Image:
    """The image at a path, read anew if the file has changed. Raises BuildplugError."""
    return _read(path, tuple(fingerprints.stamp(path))) if path.exists() else Image(path)
