"""The image that a first link is expected to make, where that can be known before it."""

from collections.abc import Sequence
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.config.project import WantedTable
from buildplug.image.elf import Image
from buildplug.linker.command_line import LinkLine
from buildplug.linker.family import Family
from buildplug.linker.script import Placement
from buildplug.stage.forecast import forecast

BITCODE = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")  # LLVM's, and its wrapper (llvm.org, LLVM Bitcode File Format)


def expected(
    line: LinkLine, inputs: Sequence[Path], placement: Placement, tables: Sequence[WantedTable], family: Family
) -> Image | str:
    """What the link of these inputs will make, or the option or input by which only the linker knows that. Libraries
    are not among the inputs: they give only what others want of them, mostly nothing. Raises BuildplugError for inputs
    that say too little."""
    if "gc-sections" in line:
        return "--gc-sections"
    try:
        return forecast(inputs, placement, [table.rule for table in tables], family, shared="shared" in line)
    except BuildplugError:
        if compiled_later := next((path for path in inputs if _start(path) in BITCODE), None):
            return f"LLVM's bitcode in {compiled_later}"
        raise


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""
