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


def expected(
    line: LinkLine, inputs: Sequence[Path], placement: Placement, tables: Sequence[WantedTable], family: Family
) -> Image:
    """What the link of these inputs will make. Libraries are not among the inputs: they give only what others want of
    them, mostly nothing. Raises BuildplugError if it cannot be known."""
    if "gc-sections" in line:
        raise BuildplugError("--gc-sections", "the linker alone knows what it leaves out")
    return forecast(inputs, placement, [table.rule for table in tables], family, shared="shared" in line)
