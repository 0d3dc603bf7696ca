"""A small image of every kind of symbol and relocation, and the reading of all that an image has."""

import re
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import FEW
from tests.elfwriter import (
    ABS,
    ALLOC,
    EXEC,
    FUNC,
    LOCAL,
    NOBITS,
    OBJECT,
    SECTION,
    WRITE,
    File,
    Relocation,
    Section,
    Symbol,
)

TEXT = Section(".text", bytes(range(64)), 0x1000, ALLOC | EXEC)
DATA = Section(".data", bytes(64), 0x2000, ALLOC | WRITE)
SMALL = File(
    (TEXT, DATA, Section(".bss", 0x100, 0x3000, ALLOC | WRITE, NOBITS)),
    (
        Symbol("", 0x1000, type=SECTION, bind=LOCAL, section=1),
        Symbol("function", 0x1010, 5, FUNC, section=1),
        Symbol("object", 0x2008, 8, OBJECT, section=2),
        Symbol("absolute", 77, section=ABS),
    ),
    {1: (Relocation(0x1004, 2, 2, -4), Relocation(0x1008, 4, 3, 12)), 2: (Relocation(0x2000, 1, 1, 0x30),)},
)


def read_all(image: Image) -> None:
    """Reads whatever an image has; of its symbols before that only those with some prefixes, as of a previous image."""
    few = Image(image.path)
    few.narrow([*map("prefix{}".format, range(FEW)), "function"])
    assert len(few.names) == len(few.symbols)
    names = image.names
    assert len(names) == len(image.symbols)
    assert [image.name_of(i) for i in range(len(names))] == names
    for name in names[:5]:
        image.address_of(name)
    rows = image.relocations()
    assert (rows["offset"] < image.headers["size"][rows["section"]]).all()
    _ = image.symbols[rows["symbol"]]


def refused(path: Path, expected: str) -> None:
    """That reading a file is an error of one line with the file's name and what was expected."""
    with pytest.raises(BuildplugError) as caught:
        read_all(Image(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert re.search(expected, str(caught.value)), caught.value


def reads_or_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        read_all(Image(path))
    except BuildplugError as error:
        assert "\n" not in str(error)
