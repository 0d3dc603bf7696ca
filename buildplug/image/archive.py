"""The objects in an archive, or beside it, if it is a thin one, which only names them. Source: ar(5), and binutils'
manual of ar."""

import re
from collections.abc import Iterator
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError, printable
from buildplug.base.records import frozen
from buildplug.image.elf import Image

MAGIC, THIN = b"!<arch>\n", b"!<thin>\n"
HEAD = 60  # bytes of a member's header
NAME, SIZE = slice(0, 16), slice(48, 58)  # in the header
INDICES = ("/", "/SYM64/")  # of symbols


@frozen
class Member:
    """An object: a file, or the part of an archive that `content` is."""

    path: Path
    content: bytes | None = None

    @property
    def image(self) -> Image:
        return Image(self.path) if self.content is None else Image.of(self.path, self.content)


def objects(path: Path) -> Iterator[Member]:
    """The object that a linker's input is, or those in it if it is an archive. Raises BuildplugError."""
    if files.read(path, len(MAGIC)) not in (MAGIC, THIN):
        yield Member(path)
        return
    data = files.read(path)
    thin, long_names, at = data.startswith(THIN), b"", len(MAGIC)
    while at < len(data):
        head = data[at : at + HEAD]
        name, size = head[NAME].decode(errors="replace").rstrip(), head[SIZE].strip()
        if not re.fullmatch(rb"\d+", size):
            raise BuildplugError(path, f"expected the size of an archive's member at {at:#x}, found {size!r:.20}")
        at += HEAD
        inside = not thin or name in (*INDICES, "//")
        content = data[at : at + int(size)] if inside else b""
        at += len(content) + len(content) % 2
        if inside and len(content) < int(size):
            raise BuildplugError(path, f"expected {int(size)} bytes of member {name}, found the end of the file")
        if name == "//":
            long_names = content
        elif name not in INDICES:
            if long := re.fullmatch(r"/(\d+) *(/|:\d+)?", name):
                name = long_names[int(long[1]) :].partition(b"\n")[0].decode(errors="surrogateescape")
            name = name.removesuffix("/")
            yield Member(path.parent / name) if thin else Member(Path(f"{path}({printable(name)})"), content)
