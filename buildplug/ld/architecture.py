"""The architecture of a link whose configuration names none: that of the first object among its inputs."""

import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from buildplug.arch.registry import by_header, names
from buildplug.base.errors import BuildplugError
from buildplug.base.schema import load
from buildplug.config.project import DEFAULT
from buildplug.linker.command_line import LinkLine

BITCODE = b"BC\xc0\xde"
ARCHIVE = b"!<arch>\n"
MEMBER = 60  # bytes of a member's header
SPECIAL = (b"/ ", b"// ", b"/SYM64/ ")  # members that are no objects
ORDER = {1: "<", 2: ">"}  # EI_DATA (gABI, chapter 4)


def of(config: Path, line: LinkLine) -> str:
    """The name of the architecture; empty if the configuration names it, or if no input is an ELF object, as with LTO
    by clang. Raises BuildplugError if the object's architecture is unknown."""
    if _names_one(config):
        return ""
    for name in line.inputs:
        path = Path(name)
        header = _object(path) if path.is_file() else b""
        if len(header) < 20 or header[5] not in ORDER:
            continue
        order, (machine,) = ORDER[header[5]], struct.unpack_from(f"{ORDER[header[5]]}H", header, 18)
        arch = by_header(machine, 32 * header[4], order)
        if arch.name not in names():
            raise BuildplugError(
                path, f"expected an object of a known architecture, found {arch.name}", "link it without tables"
            )
        return arch.name
    return ""


def check_said(config: Path, line: LinkLine, status: int) -> None:
    """Raises BuildplugError if nothing said the architecture of a link that failed with this status, as its inputs are
    LLVM's bitcode: maybe it is another one than that of the tables."""
    for path in map(Path, line.inputs) if not _names_one(config) else ():
        with suppress(OSError), path.open("rb") as file:
            if file.read(len(BITCODE)) == BITCODE:
                raise BuildplugError(
                    path, f"expected an ELF object that says its architecture, found LLVM bitcode: took {DEFAULT}",
                    f"if it is another, name it by arch in [kernel] of {config}", status=status,
                )  # fmt: skip


def _names_one(config: Path) -> bool:
    kernel = load(config).get("kernel", {})
    return isinstance(kernel, dict) and "arch" in kernel


def _object(path: Path) -> bytes:
    """The first bytes of an ELF file, or of the first ELF file in an archive; empty if it is neither."""
    try:
        with path.open("rb") as file:
            start = file.read(20)
            return _member(file) if start.startswith(ARCHIVE) else start if start.startswith(b"\x7fELF") else b""
    except OSError:
        return b""  # the linker says what is wrong with it


def _member(file: BinaryIO) -> bytes:
    """The first bytes of the first ELF file in an archive."""
    at = len(ARCHIVE)
    while True:
        file.seek(at)
        header = file.read(MEMBER)
        size = header[48:58].strip()
        if len(header) < MEMBER or not size.isdigit():
            return b""
        start = file.read(20)
        if start.startswith(b"\x7fELF") and not header.startswith(SPECIAL):
            return start
        at += MEMBER + int(size) + int(size) % 2
