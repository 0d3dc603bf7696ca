"""The image that a first link is expected to make, where that can be known before it."""

from collections.abc import Sequence
from pathlib import Path

from buildplug.config.project import WantedTable
from buildplug.image.elf import Image
from buildplug.linker.command_line import LinkLine
from buildplug.linker.family import Family
from buildplug.linker.script import Placement
from buildplug.stage.forecast import forecast


def expected(
    line: LinkLine, inputs: Sequence[Path], placement: Placement, tables: Sequence[WantedTable], family: Family
) -> Image | str:
    """What the link of these inputs will make, or an option by which that is the linker's to know. Libraries are not
    among the inputs: they give only what others want of them, mostly nothing. Raises BuildplugError for inputs that say
    too little."""
    if "gc-sections" in line:
        return "--gc-sections"
    return forecast(inputs, placement, [table.rule for table in tables], family, shared="shared" in line)
