"""Shared by the binary formats: record types for numpy; the address of a table in an image."""

from collections.abc import Callable
from typing import Any

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import SHN_UNDEF

Records = dict[str, tuple[tuple[str, str, str], ...]]  # name -> fields: (name, numpy type, description)


def dtypes(records: Records) -> Callable[[str, str], np.dtype[Any]]:
    """A function (record, byte order) -> numpy type."""
    return lambda record, byteorder: np.dtype([(name, byteorder + kind) for name, kind, _ in records[record]])


def address_of(image: Image, rule: Rule) -> int:
    """The address of a rule's table. Raises BuildplugError."""
    at = image.address_of(rule.symbol)
    if at is None:
        raise image.bad(f"rule {rule.name}: expected the symbol {rule.symbol}, found none", "link the table's object")
    return at


def anchored(image: Image, rule: Rule) -> tuple[str, ...]:
    """The names of the sections that a rule's anchors point to in an image, in order of the anchors."""
    symbols = image.with_prefix(rule.anchors)
    symbols = symbols[image.symbols["section"][symbols] != SHN_UNDEF]
    values = dict(zip(image.names_of(symbols), image.symbols["value"][symbols].tolist(), strict=True))
    starts, _, indices = (each[::-1] for each in image.by_address)  # the first of several at one address counts
    sections = dict(zip(starts.tolist(), indices.tolist(), strict=True))
    homes = [sections.get(values.get(rule.anchor(number), -1), -1) for number in range(len(values))]
    return tuple(image.sections.names[home] for home in homes[: (*homes, -1).index(-1)])


def not_a_table(where: object, expected: str, found: str) -> BuildplugError:
    """The error for bytes that do not decode."""
    return BuildplugError(where, f"expected {expected}, found {found}", "build the image again")
