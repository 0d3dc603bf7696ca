"""The memory of an image, for the reference implementations."""

from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.runtime.memory import memory_of
from tests.elfwriter import ALLOC, NOBITS, WRITE, File, Section


@pytest.mark.parametrize("size", [0x1000, 0x1008, 0x20000])
def test_an_image_up_to_the_top_of_the_address_space_is_an_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "image"
    path.write_bytes(File((Section(".bss", 0x1000, (1 << 64) - 0x1001, ALLOC | WRITE, NOBITS),)).write())
    assert memory_of(Image(path))[2] == (1 << 64) - 1
    with pytest.raises(BuildplugError, match="expected an image below the top of the address space"):
        memory_of(Image(path), slide=size)
