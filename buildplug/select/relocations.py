"""Relocations that a rule selects: image -> the fields that change when the image slides.

An image that runs `slide` bytes above its link address must add `slide` to each field that holds the address of
something that moves with it, and subtract `slide` from each that holds the distance to something that does not move.
"""

import numpy as np

from buildplug.arch.field import FIELDS
from buildplug.base.errors import BuildplugError
from buildplug.base.globs import globs
from buildplug.config.rule import Rule, check_arch
from buildplug.config.select import Relocations
from buildplug.image.elf import Image
from buildplug.image.fields import UNKNOWN, check_linked, check_relocations, expected_and_found, numbers_of
from buildplug.image.headers import SHN_ABS, SHN_UNDEF, Array, Section
from buildplug.image.symtab import among

# section: index; offset: of the field in its section; encoding: index in FIELDS; symbol: index
FIELD = np.dtype(
    [("section", "u4"), ("offset", "u8"), ("encoding", "u1"), ("type", "u4"), ("symbol", "u4"), ("addend", "i8")]
)


def fields(image: Image, rule: Rule) -> Array:
    """The fields that `rule` selects, dtype FIELD, by section and offset.

    Raises BuildplugError if the image has no relocations, for an unknown relocation type, and for a field that does not
    hold its relocation's value: no slide could be applied to it.
    """
    check_arch(rule, image.arch, image.path)
    check_linked(image)
    check_relocations(image)
    select = rule.select_as(Relocations)
    wanted, skipped = globs(select.sections), globs(select.skip)
    moves, excluded = _moving(image, rule), _excluded(image, rule)
    relative, chosen = np.zeros((2, 256), bool)
    for number, field in enumerate(FIELDS):
        relative[number], chosen[number] = field.relative, field.name in select.encodings
    parts = [np.zeros(0, FIELD)]
    for section, rows in image.relocations():
        if not wanted(section.name) or skipped(section.name) or section.name == rule.section:
            continue
        rows = rows[~excluded[rows["symbol"]]]
        kinds = numbers_of(image.arch, rows["type"])
        _check_known(image, section, rows, kinds)
        changes = (moves[rows["symbol"]] != relative[kinds]) & chosen[kinds]
        relaxed = among(rows["type"], list(image.arch.relaxed))  # the linker may have changed the encoding
        _check_true(image, section, rows, kinds, changes | relaxed)
        at = np.flatnonzero(changes)
        part = np.zeros(len(at), FIELD)
        part["section"], part["encoding"] = section.index, kinds[at]
        for name in ("offset", "type", "symbol", "addend"):
            part[name] = rows[name][at]
        parts.append(part)
    found = np.concatenate(parts)
    return found[np.lexsort((found["offset"], found["section"]))]


def places(image: Image, rule: Rule, rows: Array) -> Array:
    """The addresses of fields in memory, shape as rows. Raises BuildplugError."""
    starts = image.headers["address"].astype("u8")
    for name, symbol in rule.select_as(Relocations).fixed.items():
        at = image.address_of(symbol) if symbol else None
        if symbol and at is None:
            raise BuildplugError(
                f"rule {rule.name}: fixed", f"expected the symbol {symbol}, found none", f"see nm {image.path}"
            )
        if at is not None:
            starts[[index for index, other in enumerate(image.sections.names) if other == name]] = at
    found: Array = starts[rows["section"]] + rows["offset"]
    return found


def _moving(image: Image, rule: Rule) -> Array:
    """Whether each symbol moves with the image, bool, shape (symbols,): symbols in sections do unless the rule's
    `fixed` has the section; others, such as absolute ones, do only if the rule's `moving` matches."""
    symbols, select = image.symbols, rule.select_as(Relocations)
    fixed = np.array([name in select.fixed for name in image.sections.names])
    absolute = among(symbols["section"], (SHN_UNDEF, SHN_ABS)) | (symbols["section"] >= len(fixed))
    moving: Array = ~absolute & ~fixed[np.where(absolute, 0, symbols["section"])]
    if select.moving:
        moves = globs(select.moving)
        for index in np.flatnonzero(~moving & (symbols["section"] != SHN_UNDEF)).tolist():
            moving[index] = bool(moves(image.name_of(index)))
    return moving


def _excluded(image: Image, rule: Rule) -> Array:
    exclude = rule.select_as(Relocations).exclude
    excluded, names = globs(exclude), image.names if exclude else ()
    return np.fromiter((bool(excluded(name)) for name in names), bool) if names else np.zeros(len(image.symbols), bool)


def _check_known(image: Image, section: Section, rows: Array, kinds: Array) -> None:
    wrong = np.flatnonzero(kinds == UNKNOWN)
    if len(wrong):
        row = rows[wrong[0]]
        raise image.bad(
            f"{section.name}+{int(row['offset']):#x}: expected a relocation of a known type, found type "
            f"{int(row['type'])} against {image.name_of(int(row['symbol']))}",
            "compile so that the field is wider, or have the rule skip the section or exclude the symbol",
        )


def _check_true(image: Image, section: Section, rows: Array, kinds: Array, asked: Array) -> None:
    for number, field in enumerate(FIELDS):
        at = np.flatnonzero(asked & (kinds == number))
        expected, found = expected_and_found(image, section, rows[at], field)
        wrong = np.flatnonzero(expected != found)
        # Accept a permutation: tools sort some tables after the link, as Linux's build does.
        if len(wrong) and not np.array_equal(np.sort(expected[wrong]), np.sort(found[wrong])):
            row = rows[at[wrong[0]]]
            symbol = f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}"
            addresses = [int(column[wrong[0]]) for column in (expected, found)]
            raise image.bad(
                f"{section.name}+{int(row['offset']):#x}: the field does not hold what its relocation says: expected "
                f"{field.name} of {symbol}, {addresses[0]:#x} (type {int(row['type'])}), found {addresses[1]:#x}",
                "link without -pie, and compile with -fno-pic -fplt, so that nothing goes through a GOT",
            )
