"""What the relocations that a linker kept say of the fields that they are about."""

import numpy as np

from buildplug.arch import model
from buildplug.image.elf import Array, Image, Section

UNKNOWN, IGNORED = 254, 255  # in place of an encoding


def check_linked(image: Image) -> None:
    """Raises BuildplugError for what is no linked image."""
    if image.type not in ("ET_EXEC", "ET_DYN"):
        raise image.bad(f"expected a linked image, found {image.type}", "name the output of the link")


def check_relocations(image: Image) -> None:
    """Raises BuildplugError for an image whose relocations the linker did not keep."""
    if not image.has_relocations:
        raise image.bad("expected relocations, found none", "link with --emit-relocs")


def encodings(of: model.Arch) -> Array:
    """The encoding of a field by its r_type, shape (256,); UNKNOWN, IGNORED."""
    found = np.full(256, UNKNOWN, "u1")
    found[list(of.relocations)] = list(of.relocations.values())
    found[list(of.ignored)] = IGNORED
    return found


def claims(image: Image, section: Section, relocations: Array, encoding: int) -> tuple[Array, Array]:
    """The addresses that relocations of a section, all of one encoding, claim to be in their fields, and those that are
    there; as many bits of them as a field has. Shape as relocations."""
    said = image.symbols["value"][relocations["symbol"]] + relocations["addend"].astype("u8")
    found = image.fields(section, relocations["offset"].astype("i8"), encoding).astype("u8")
    if encoding in model.RELATIVE:
        found += relocations["offset"] + np.uint64(section.address)
    mask = np.uint64((1 << 8 * model.WIDTH[encoding]) - 1)
    return said & mask, found & mask
