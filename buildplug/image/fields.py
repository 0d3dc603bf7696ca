"""What the relocations that a linker kept say of the fields that they are about."""

import numpy as np

from buildplug.arch.field import FIELDS, Field
from buildplug.arch.model import Arch
from buildplug.image.elf import Image
from buildplug.image.headers import Array, Section

UNKNOWN, IGNORED = 254, 255  # in place of an encoding


def check_linked(image: Image) -> None:
    """Raises BuildplugError for what is no linked image."""
    if image.type not in ("ET_EXEC", "ET_DYN"):
        raise image.bad(f"expected a linked image, found {image.type}", "name the output of the link")


def check_relocations(image: Image) -> None:
    """Raises BuildplugError for an image whose relocations the linker did not keep."""
    if not image.has_relocations:
        raise image.bad("expected relocations, found none", "link with --emit-relocs")


def field_numbers(arch: Arch) -> Array:
    """r_type -> the number of its field in FIELDS, or UNKNOWN, or IGNORED; see `numbers_of`."""
    found = np.full(max(*arch.relocations, *arch.ignored) + 2, UNKNOWN, "u1")
    for kind, field in arch.relocations.items():
        found[kind] = FIELDS.index(field)
    found[list(arch.ignored)] = IGNORED
    return found


def numbers_of(arch: Arch, types: Array) -> Array:
    """The number of the field of each r_type, uint8, shape as types."""
    numbers = field_numbers(arch)
    found: Array = numbers[np.minimum(types, len(numbers) - 1)]  # the last is of no type
    return found


def _read(image: Image, section: Section, relocations: Array, field: Field) -> tuple[Array, Array, Array]:
    """The words at relocations of a section, their addresses, and the addresses that their relocations say."""
    words = image.words(section, relocations["offset"], field.size)
    said = image.symbols["value"][relocations["symbol"]] + relocations["addend"].astype("u8")
    return words, relocations["offset"] + np.uint64(section.address), said


def claims(image: Image, section: Section, relocations: Array, field: Field) -> tuple[Array, Array]:
    """The addresses that relocations of a section say, all of one field, as far as it can; and those that are there."""
    words, pc, said = _read(image, section, relocations, field)
    return field.get(field.put(words, pc, said)[0], pc), field.get(words, pc)


def untrue(image: Image, section: Section, relocations: Array, field: Field) -> Array:
    """Whether each of these fields does not hold what its relocation says, as far as its bits go."""
    words, pc, said = _read(image, section, relocations, field)
    wrong: Array = ~field.holds(words, pc, said, min(8 * field.size, image.arch.bits))
    return wrong
