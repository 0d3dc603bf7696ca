"""The layout of archives: the members of ar, tar and cpio files, and the fields of their headers.

Sources: ar(5); POSIX pax, "ustar Interchange Format"; Linux's
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import io
import tarfile
from collections.abc import Iterator
from typing import NamedTuple


class Extent(NamedTuple):
    """A named part of a file: bytes [start, end). `field` is a field of a header; empty for a member's content."""

    name: str
    field: str
    start: int
    end: int


class _Field(NamedTuple):
    name: str
    start: int
    end: int


AR = (_Field("name", 0, 16), _Field("mtime", 16, 28), _Field("uid", 28, 34), _Field("gid", 34, 40),
      _Field("mode", 40, 48), _Field("size", 48, 60))  # fmt: skip
TAR = (_Field("name", 0, 100), _Field("mode", 100, 108), _Field("uid", 108, 116), _Field("gid", 116, 124),
       _Field("size", 124, 136), _Field("mtime", 136, 148), _Field("checksum", 148, 156), _Field("type", 156, 157),
       _Field("link", 157, 257), _Field("uname", 265, 297), _Field("gname", 297, 329),
       _Field("prefix", 345, 500))  # fmt: skip
CPIO_FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "devmajor", "devminor", "rdevmajor",
               "rdevminor", "namesize", "check")  # fmt: skip
CPIO = tuple(_Field(name, 6 + 8 * place, 14 + 8 * place) for place, name in enumerate(CPIO_FIELDS))
CPIO_HEAD = 6 + 8 * len(CPIO_FIELDS)
# Field -> the class of cause of any difference in it.
CAUSES = {"mtime": "timestamp", "mode": "file mode", "uid": "user or host name", "gid": "user or host name",
          "uname": "user or host name", "gname": "user or host name"}  # fmt: skip


def extents(data: bytes) -> list[Extent]:
    """The parts of an archive, in order; empty if it is no archive, or a damaged one."""
    try:
        if data.startswith(b"!<arch>\n"):
            return list(_ar(data))
        if data[257:262] == b"ustar":
            return list(_tar(data))
        if data.startswith((b"070701", b"070702")):
            return list(_cpio(data))
    except (ValueError, tarfile.TarError):
        pass
    return []


def _member(name: str, at: int, fields: tuple[_Field, ...], start: int, end: int) -> Iterator[Extent]:
    """The parts of a member with its header at `at` and its content at [start, end)."""
    yield from (Extent(name, field.name, at + field.start, at + field.end) for field in fields)
    yield Extent(name, "", start, end)


def _number(digits: bytes, base: int) -> int:
    """A number that is not negative. Raises ValueError."""
    number = int(digits, base)
    if number < 0:
        raise ValueError(digits)
    return number


def _ar(data: bytes) -> Iterator[Extent]:
    at, names = 8, b""
    while at + 60 <= len(data):
        size, name = _number(data[at + 48 : at + 58], 10), data[at : at + 16].decode("latin-1").rstrip()
        if name == "//":
            names = data[at + 60 : at + 60 + size]
        elif name[:1] == "/" and name[1:].isdigit():  # an offset in the table of long names
            name = names[int(name[1:]) :].partition(b"/")[0].decode("latin-1")
        yield from _member(name.rstrip("/") or name, at, AR, at + 60, at + 60 + size)
        at += 60 + size + size % 2


def _tar(data: bytes) -> Iterator[Extent]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            yield from _member(member.name, member.offset_data - 512, TAR, member.offset_data,
                               member.offset_data + (member.size if member.isreg() else 0))  # fmt: skip


def _cpio(data: bytes) -> Iterator[Extent]:
    at = 0
    while data[at : at + 6] in (b"070701", b"070702"):
        values = {field.name: _number(data[at + field.start : at + field.end], 16) for field in CPIO}
        name = data[at + CPIO_HEAD : at + CPIO_HEAD + values["namesize"] - 1].decode("latin-1")
        start = at + CPIO_HEAD + values["namesize"]
        start += -start % 4
        yield from _member(name, at, CPIO, start, start + values["filesize"])
        if name == "TRAILER!!!":
            return
        at = start + values["filesize"]
        at += -at % 4
