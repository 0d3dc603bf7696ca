"""Symbols that a rule selects: image -> targets."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import translate
from re import compile as pattern

import numpy as np

from buildplug.elf import SHN_LORESERVE, SHN_UNDEF, STT_FILE, STT_FUNC, STT_OBJECT, STT_SECTION, Image
from buildplug.errors import BuildplugError
from buildplug.rules import Rule


@dataclass(frozen=True)
class Target:
    """A symbol that a rule selects. A function is referred to by its start, a slot object by any of its words."""

    name: str
    address: int
    size: int  # as the symbol has it, 0 if unknown
    extent: int  # bytes that references may fall into
    slot: bool
    names: frozenset[str]  # all that the rule selects at this address


def globs(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A predicate: does a name match one of the patterns?"""
    return pattern("|".join(translate(p) for p in patterns) or r"(?!)").match


def targets(image: Image, rule: Rule) -> tuple[Target, ...]:
    """The symbols that a rule selects, by address; of those at one address the first by name.

    Raises BuildplugError if there is none: a rule that matches nothing is a spelling mistake.
    """
    select, symbols = rule.select, image.symbols
    defined = (symbols["section"] != SHN_UNDEF) & (symbols["section"] < SHN_LORESERVE)
    defined &= ~np.isin(symbols["type"], (STT_SECTION, STT_FILE))
    is_function, is_slot, excluded = (
        globs(select.functions),
        globs(select.slots + select.objects),
        globs(select.exclude),
    )
    wanted, skipped = globs(select.sections), globs(select.skip)
    in_section = [
        rule.select.rows == "references" or bool(wanted(s.name) and not skipped(s.name)) for s in image.sections
    ]
    ranges = [(_bound(image, rule, r, 0), _bound(image, rule, r, 1)) for r in select.ranges]
    found: dict[int, Target] = {}
    for index in np.flatnonzero(defined).tolist():
        name, row = image.names[index], symbols[index]
        kind, address = int(row["type"]), int(row["value"])
        section = image.sections[row["section"]]
        function = kind == STT_FUNC or (kind != STT_OBJECT and section.executable)
        in_range = any(start <= address < end for start, end in ranges)
        typed = kind in (STT_FUNC, STT_OBJECT) or select.untyped or select.rows == "references"
        if not (in_section[section.index] and typed):
            continue
        if (in_range or (is_function if function else is_slot)(name)) and not excluded(name):
            size = int(row["size"])
            extent = size or (1 if function else image.arch.bits // 8)
            names = found[address].names | {name} if address in found else frozenset({name})
            if address not in found or name < found[address].name:
                found[address] = Target(name, address, size, extent, not function, names)
            else:
                found[address] = replace(found[address], names=names)
    if not found:
        asked = ", ".join((*select.functions, *select.slots, *select.objects, *("–".join(r) for r in select.ranges)))
        raise image.bad(f"rule {rule.name}: expected symbols {asked}, found none", "check the rule's names")
    return tuple(found[address] for address in sorted(found))


def _bound(image: Image, rule: Rule, bounds: tuple[str, ...], end: int) -> int:
    where = f"rule {rule.name}: ranges"
    if len(bounds) != 2:
        raise BuildplugError(where, f"expected [start, end], found {len(bounds)} values")
    try:
        return int(bounds[end], 0)
    except ValueError:
        address = image.address_of(bounds[end])
    if address is None:
        raise BuildplugError(where, f"expected a symbol or an integer, found {bounds[end]!r}", f"see nm {image.path}")
    return address
