"""Relocations that a rule selects: image -> the fields that change when the image slides.

An image that runs `slide` bytes above its link address must add `slide` to each field that holds the address of
something that moves with it, and subtract `slide` from each that holds the distance to something that does not move.
"""

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule, check_arch
from buildplug.config.select import Relocations
from buildplug.image.elf import Image
from buildplug.image.fields import UNKNOWN, check_linked, check_relocations, expected_and_found, numbers_of
from buildplug.image.headers import SHF_ALLOC, SHN_ABS, SHN_UNDEF, Array, among, sorting, within

# section: index; offset: of the field in its section; encoding: index in Arch.fields; symbol: index
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
    moves, excluded = _moving(image, rule), _excluded(image, rule)
    relative, chosen = np.zeros((2, 256), bool)
    for number, field in enumerate(image.arch.fields):
        relative[number], chosen[number] = field.relative, field.name in select.encodings
    wanted = image.sections.matching(select.sections, select.skip)
    wanted &= image.headers["flags"] & SHF_ALLOC != 0
    wanted[image.sections.called(rule.section)] = False
    rows = image.relocations(of=wanted)
    out = excluded[rows["symbol"]]
    rows = rows.compress(~out) if out.any() else rows
    kinds = numbers_of(image.arch, rows["type"])
    _check_known(image, rows, kinds)
    slides = moves[rows["symbol"]] != relative[kinds]
    _check_whole(image, rows, kinds, slides)
    changes = slides & chosen[kinds]
    relaxed = among(rows["type"], list(image.arch.relaxed))  # the linker may have changed the encoding
    _check_true(image, rows, kinds, changes | relaxed)
    at = np.flatnonzero(changes)
    found = np.zeros(len(at), FIELD)
    found["encoding"] = kinds[at]
    for name in ("section", "offset", "type", "symbol", "addend"):
        found[name] = rows[name][at]
    return found.take(sorting(found["offset"], found["section"]))


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
            starts[image.sections.called(name)] = at
    found: Array = starts[rows["section"]] + rows["offset"]
    return found


def _moving(image: Image, rule: Rule) -> Array:
    """Whether each symbol moves with the image, bool, shape (symbols,): symbols in sections do unless the rule's
    `fixed` has the section; others, such as absolute ones, do only if the rule's `moving` matches."""
    symbols, select = image.symbols, rule.select_as(Relocations)
    fixed = np.zeros(len(image.sections), bool)
    fixed[[index for name in select.fixed for index in image.sections.called(name)]] = True
    absolute = among(symbols["section"], (SHN_UNDEF, SHN_ABS)) | (symbols["section"] >= len(fixed))
    moving: Array = ~absolute & ~fixed[np.where(absolute, 0, symbols["section"])]
    if select.moving:
        asked = np.flatnonzero(~moving & (symbols["section"] != SHN_UNDEF))
        moving[asked] = image.matching(select.moving)[asked]
    return moving


def _excluded(image: Image, rule: Rule) -> Array:
    return image.matching(rule.select_as(Relocations).exclude)


def _check_known(image: Image, rows: Array, kinds: Array) -> None:
    wrong = np.flatnonzero(kinds == UNKNOWN)
    if len(wrong):
        row = rows[wrong[0]]
        raise image.bad(
            f"{_place(image, row)}: expected a relocation of a known type, found type "
            f"{int(row['type'])} against {image.name_of(int(row['symbol']))}",
            "compile so that the field is wider, or have the rule skip the section or exclude the symbol",
        )


def _check_whole(image: Image, rows: Array, kinds: Array, slides: Array) -> None:
    """Raises BuildplugError for code with a high part of an absolute address: it would have to slide, and is no field
    of the table. (The low part does not change, as images slide by pages.)"""
    high = [number for number, field in enumerate(image.arch.fields) if field.step > 1 and not field.relative]
    for at in np.flatnonzero(slides & among(kinds, high))[:1].tolist() if high else ():
        row, field = rows[at], image.arch.fields[kinds[at]]
        raise image.bad(
            f"{_place(image, row)}: expected code that refers by a distance, found {field.name} of "
            f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}, which is absolute",
            "compile with -mcmodel=medany",
        )


def _check_true(image: Image, rows: Array, kinds: Array, asked: Array) -> None:
    """Raises BuildplugError for a field that does not hold its value. Accepts a permutation of values in a section:
    tools sort some tables after the link, as Linux's build does."""
    for number, field in enumerate(image.arch.fields):
        at = np.flatnonzero(asked & (kinds == number))
        expected, found = expected_and_found(image, rows.take(at), field)
        wrong = np.flatnonzero(expected != found)
        section = rows["section"][at[wrong]]
        sorted_ = [each[wrong][sorting(each[wrong], section)] for each in (expected, found)]
        odd = np.flatnonzero(within(section, np.sort(section)[sorted_[0] != sorted_[1]]))
        if len(odd):
            first = wrong[odd[0]]
            row = rows[at[first]]
            symbol = f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}"
            raise image.bad(
                f"{_place(image, row)}: the field does not hold what its relocation says: expected "
                f"{field.name} of {symbol}, {int(expected[first]):#x} (type {int(row['type'])}), "
                f"found {int(found[first]):#x}",
                "link without -pie, and compile with -fno-pic -fplt, so that nothing goes through a GOT",
            )


def _place(image: Image, row: Array) -> str:
    return f"{image.sections.names[row['section']]}+{int(row['offset']):#x}"
