"""The objects in an archive, or beside it, if it is a thin one, which only names them. Source: ar(5), and binutils'
manual of ar."""

import re
from collections.abc import Iterator
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image

MAGIC, THIN = b"!<arch>\n", b"!<thin>\n"
HEAD = 60  # bytes of a member's header
NAME, SIZE = slice(0, 16), slice(48, 58)  # in the header
INDICES = ("/", "/SYM64/")  # of symbols


def objects(path: Path) -> Iterator[Image]:
    """The object that a linker's input is, or those in it if it is an archive. Raises BuildplugError."""
    if files.read(path, len(MAGIC)) not in (MAGIC, THIN):
        yield Image(path)
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
            if re.fullmatch(r"/\d+", name):
                name = long_names[int(name[1:]) :].partition(b"\n")[0].decode(errors="surrogateescape")
            member = path.parent / name.removesuffix("/")
            yield Image(member) if thin else Image.of(path.with_name(f"{path.name}({member.name})"), content)
