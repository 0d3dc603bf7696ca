"""Symbols that a rule selects: image -> targets."""

from dataclasses import dataclass

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule
from buildplug.config.select import Symbols
from buildplug.image.elf import Image
from buildplug.image.headers import (
    SHF_EXECINSTR,
    SHN_ABS,
    SHN_LORESERVE,
    SHN_UNDEF,
    STT_FILE,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_NOTYPE,
    STT_OBJECT,
    STT_SECTION,
    STT_TLS,
    Array,
)
from buildplug.image.symbols import functions
from buildplug.image.symtab import among


@dataclass(frozen=True)
class Target:
    """A selected symbol. References to a function are to its start, those to a slot object to any of its words."""

    name: str
    address: int
    size: int  # st_size, 0 if unknown
    extent: int  # bytes that count as references to it
    slot: bool
    names: frozenset[str]  # all selected names at this address


def selected(image: Image, rule: Rule) -> Array:
    """The indices of the symbols that a rule selects, ascending.

    Raises BuildplugError if there are none, as a rule that matches nothing is a typo, or if the rule gives the full
    name of a symbol that has no place in the image, such as an absolute one.
    """
    select, symbols = rule.select, image.symbols
    references = select.rows == "references"
    if select.rows == "references":
        objects, untyped, absolute = select.slots, True, False
    else:
        select = rule.select_as(Symbols)
        objects, untyped, absolute = select.objects, select.untyped, select.absolute
    in_range = np.zeros(len(symbols), bool)
    for bounds in select.ranges:
        start, end = (bound(image, rule, bounds, number) for number in (0, 1))
        in_range |= (symbols["value"] >= np.uint64(start)) & (symbols["value"] < np.uint64(end))
    defined = (symbols["section"] != SHN_UNDEF) & (symbols["section"] < SHN_LORESERVE)
    defined &= ~among(symbols["type"], (STT_SECTION, STT_FILE, STT_TLS))  # thread-local symbols have no address
    marks = np.zeros(len(symbols), bool)
    for mark in image.arch.marks:
        marks[image.with_prefix(mark)] = True
    marks &= (symbols["type"] == STT_NOTYPE) & (symbols["bind"] == 0)
    if not untyped:
        defined &= among(symbols["type"], (STT_FUNC, STT_OBJECT, STT_GNU_IFUNC))
    named = [image.matching(patterns) for patterns in (select.functions, objects)]
    excluded = image.matching(select.exclude, named[0] | named[1] | in_range)
    if not references:
        chosen = image.sections.matching(select.sections, select.skip)
        defined &= chosen[np.where(defined, symbols["section"], 0)]
    defined &= ~marks
    unplaced = (symbols["section"] == SHN_ABS) & (symbols["type"] != STT_FILE) & ~marks
    if absolute:
        defined |= unplaced
    elif not references:
        full_names, nowhere = (*select.functions, *objects), defined & (image.containing_sections == 0)
        for what, which in (("is absolute", unplaced), ("lies in no section", nowhere)):
            wrong = np.flatnonzero(which & ~excluded & (named[0] | named[1]))
            for name in sorted({*full_names} & {*image.names_of(wrong)}):
                raise image.bad(f"rule {rule.name}: symbol {name} {what}, no place in the image", "exclude it")
        defined &= ~nowhere
    wanted = np.where(functions(image), *named) | in_range
    found: Array = np.flatnonzero(defined & wanted & ~excluded)
    if not len(found):
        asked = ", ".join((*select.functions, *objects, *("–".join(r) for r in select.ranges)))
        raise image.bad(f"rule {rule.name}: expected symbols {asked}, found none", "check the rule's names")
    return found


def left_out(image: Image, rule: Rule) -> dict[str, int]:
    """How many symbols a rule of symbols leaves out although it gives their names, by kind. Of the labels in code only
    those that may be entry points count: global, not at a section's end, and not at the address of a selected one."""
    select, symbols, sections = rule.select_as(Symbols), image.symbols, image.sections
    inside = symbols["section"] < len(sections)
    home = np.where(inside, symbols["section"], 0)
    meant = inside & sections.matching(select.sections, select.skip)[home] & ~image.matching(select.exclude)
    starts, sizes = (image.headers[what].astype("u8")[home] for what in ("address", "size"))
    labels = meant & (symbols["type"] == STT_NOTYPE) & (symbols["bind"] != 0) & (not select.untyped)
    labels &= (image.headers["flags"] & SHF_EXECINSTR != 0)[home] & (symbols["value"] - starts < sizes)
    if labels.any():
        labels &= ~np.isin(symbols["value"], symbols["value"][selected(image, rule)])
    threads = meant & (symbols["type"] == STT_TLS) & (symbols["section"] != SHN_UNDEF)
    kinds = (("untyped labels in code", labels, select.functions), ("thread-local symbols", threads, select.objects))
    counts = {kind: int((which & image.matching(patterns)).sum()) for kind, which, patterns in kinds if which.any()}
    return {kind: count for kind, count in counts.items() if count}


def targets(image: Image, rule: Rule) -> tuple[Target, ...]:
    """The selected symbols by address. Symbols at one address become one: the first name, the largest size.

    Raises BuildplugError if there is none.
    """
    found: dict[int, Target] = {}
    at = selected(image, rule)
    rows = image.symbols[at]
    columns = (rows["value"].tolist(), rows["size"].tolist(), functions(image)[at].tolist())
    for name, address, size, function in zip(image.names_of(at), *columns, strict=True):
        extent = size or (1 if function else image.arch.word)
        other = found.get(address, Target(name, address, size, extent, not function, frozenset()))
        found[address] = Target(
            min(name, other.name), address, max(size, other.size), max(extent, other.extent), not function,
            other.names | {name},
        )  # fmt: skip
    return tuple(found[address] for address in sorted(found))


def disjoint(chosen: tuple[Target, ...]) -> tuple[Array, Array, Array]:
    """The targets' extents as ascending, non-overlapping pieces, shape (pieces,): starts, ends, and the index of the
    innermost target of each."""
    starts = np.array([target.address for target in chosen], "u8")
    ends = starts + np.array([target.extent for target in chosen], "u8")
    edges = np.array(sorted({*starts.tolist(), *ends.tolist()}), "u8")
    owners = np.full(len(edges), -1)
    for index in np.argsort([-target.extent for target in chosen], kind="stable"):
        first, last = np.searchsorted(edges, (starts[index], ends[index]))
        owners[first:last] = index
    covered = np.flatnonzero(owners[:-1] >= 0)
    return edges[:-1][covered], edges[1:][covered], owners[covered]


def bound(image: Image, rule: Rule, bounds: tuple[str, str], end: int) -> int:
    where = f"rule {rule.name}: ranges"
    try:
        return int(bounds[end], 0)
    except ValueError:
        address = image.address_of(bounds[end])
    if address is None:
        raise BuildplugError(where, f"expected a symbol or an integer, found {bounds[end]!r}", f"see nm {image.path}")
    return address
