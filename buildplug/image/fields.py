"""Relocated fields: what kept relocations say they hold, and what they do hold."""

import numpy as np

from buildplug.arch.field import Field
from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.image.rewritten import is_made

UNKNOWN, IGNORED = 254, 255  # in place of an index in Arch.fields


def check_linked(image: Image) -> None:
    """Raises BuildplugError unless the file is a linked image."""
    if image.type not in ("ET_EXEC", "ET_DYN"):
        raise image.bad(f"expected a linked image, found {image.type}", "name the output of the link")


def check_relocations(image: Image) -> None:
    """Raises BuildplugError unless the linker kept the relocations."""
    if not image.has_relocations:
        raise image.bad("expected relocations, found none", "link with --emit-relocs, and something that has any")


def field_numbers(arch: Arch) -> Array:
    """r_type -> index of its field in Arch.fields, or UNKNOWN, or IGNORED; see `numbers_of`."""
    found = np.full(max(*arch.relocations, *arch.ignored) + 2, UNKNOWN, "u1")
    for kind, field in arch.relocations.items():
        found[kind] = arch.fields.index(field)
    found[list(arch.ignored)] = IGNORED
    return found


def numbers_of(arch: Arch, types: Array) -> Array:
    """The index in Arch.fields of each r_type, or UNKNOWN, or IGNORED; uint8, shape as types."""
    numbers = field_numbers(arch)
    found: Array = numbers[np.minimum(types, len(numbers) - 1)]  # the last entry is UNKNOWN
    return found


def _read(image: Image, relocations: Array, field: Field) -> tuple[Array, Array, Array]:
    """The words at relocations, their addresses, and the addresses that the relocations say."""
    sections, offsets = relocations["section"], relocations["offset"]
    words = image.words(sections, offsets, field.size)
    expected = image.symbols["value"][relocations["symbol"]] + relocations["addend"].astype("u8")
    return words, offsets + image.addresses[sections], expected


def expected_and_found(image: Image, relocations: Array, field: Field) -> tuple[Array, Array]:
    """Expected addresses, reduced to what the field can hold, and those found; all relocations have this field."""
    words, pc, expected = _read(image, relocations, field)
    return field.get(field.put(words, pc, expected)[0], pc), field.get(words, pc)


def mismatches(image: Image, relocations: Array, field: Field) -> Array:
    """Whether each field differs from what its relocation says, within the bits that it has, and is not what a linker
    may have made of it."""
    words, pc, expected = _read(image, relocations, field)
    bits = min(8 * field.size, image.arch.bits) if field.whole else image.arch.bits
    wrong: Array = ~field.holds(words, pc, expected, bits)
    at = np.flatnonzero(wrong)
    if len(at) and image.arch.instruction:
        wrong[at] = ~is_made(image, relocations[at], field, expected[at])
    return wrong


def wrong_field(image: Image, row: Array, field: Field) -> BuildplugError:
    """The error for a relocation whose field holds something else."""
    words, pc, expected = (int(each[0]) for each in _read(image, row.reshape(1), field))
    place = f"{image.sections.names[int(row['section'])]}+{int(row['offset']):#x}"
    symbol = f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}"
    return image.bad(
        f"{place}: the field does not hold what its relocation says: expected {field.name} of {symbol}, {expected:#x} "
        f"(type {int(row['type'])}), found {field.get(words, pc):#x}",
        image.arch.mended or "nothing but the linker may write to it",
    )
