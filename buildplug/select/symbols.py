"""Symbols that a rule selects: image -> targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.config.select import Symbols
from buildplug.image.elf import ANYWHERE, Image, Near
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
    among,
    distinct,
    sorting,
    within,
)
from buildplug.image.symbols import functions

MOST_PAGES, LEAST_PAGE = 16, 6  # logarithms of how many pages are told apart, and of the bytes of one


@frozen
class Target:
    """A selected symbol. References to a function are to its start, those to a slot object to any of its words."""

    name: str
    address: int
    extent: int  # bytes that count as references to it
    slot: bool


@dataclass(frozen=True, eq=False)
class Targets(Sequence[Target]):
    """The selected symbols by address, as columns, shape (targets,); the records are made when they are asked for."""

    image: Image
    addresses: Array
    extents: Array
    slots: Array
    symbols: Array  # the index of the symbol that each has its name of
    selected: Array  # the indices of all selected symbols, shape (selected,)
    owners: Array  # the target of each of these

    def __len__(self) -> int:
        return len(self.addresses)

    @overload
    def __getitem__(self, index: int) -> Target: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Target]: ...

    def __getitem__(self, index: int | slice) -> Target | Sequence[Target]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        name, columns = self.image.name_of(int(self.symbols[index])), (self.addresses, self.extents, self.slots)
        return Target(name, *(column[index].item() for column in columns))

    def names(self, rows: Array) -> Array:
        """The names of the targets with these indices, str, shape as rows."""
        used, inverse = np.unique(rows, return_inverse=True)
        named: Array = np.array(self.image.names_of(self.symbols[used]), str)[inverse]
        return named

    @cached_property
    def pieces(self) -> tuple[Array, Array, Array]:
        """The targets' extents as ascending, non-overlapping pieces, shape (pieces,): starts, ends, and the index of
        the innermost target of each."""
        starts, ends = self.addresses, self.addresses + self.extents
        edges = distinct(np.concatenate([starts, ends]))
        first, last = (np.searchsorted(edges, each) for each in (starts, ends))
        inwards = np.argsort(~self.extents, kind="stable")  # the largest first
        depth = np.empty(len(inwards), "i8")
        depth[inwards] = np.arange(len(inwards))
        # An extent is two overlapping runs of 2**k pieces; such a run is two of 2**(k - 1).
        sizes = np.where(last > first, np.frexp(last - first)[1] - 1, -1)  # -1: past the end of the address space
        deepest = np.full(len(edges), -1)  # of the runs from each piece on
        for k in range(int(sizes.max()), -1, -1):
            run = 1 << k
            deepest[run:] = np.maximum(deepest[run:], deepest[:-run])
            mine = sizes == k
            for begin in (first[mine], last[mine] - run):
                np.maximum.at(deepest, begin, depth[mine])
        covered = np.flatnonzero(deepest[:-1] >= 0)
        return edges[:-1][covered], edges[1:][covered], inwards[deepest[covered]]

    def near(self, reach: int) -> Near:
        """The pages in which a target is, or less than `reach` bytes before one; modulo 2^64."""
        starts, ends, _ = self.pieces
        if not len(starts) or int(ends[-1]) - int(starts[0]) + reach >= 1 << 64:
            return ANYWHERE
        low = (int(starts[0]) - reach) % (1 << 64)
        first, last = starts - np.uint64(reach) - np.uint64(low), ends - np.uint64(low)
        shift = max(int(last[-1]).bit_length() - MOST_PAGES, LEAST_PAGE)
        bounds = np.zeros((int(last[-1]) >> shift) + 2, "i8")
        np.add.at(bounds, (first >> np.uint64(shift)).astype("i8"), 1)
        np.add.at(bounds, (last >> np.uint64(shift)).astype("i8") + 1, -1)
        return low, shift, np.cumsum(bounds)[:-1] > 0

    @cached_property
    def named(self) -> Array:
        """Whether a relocation against each symbol of the image may refer to a target, bool, shape (symbols,): true for
        targets, aliases and section symbols, but not for linker script labels that share a target's address."""
        symbols = self.image.symbols
        owner = self.containing(symbols["value"])
        named: Array = (owner >= 0) & among(symbols["type"], (STT_FUNC, STT_OBJECT)) | (symbols["type"] == STT_SECTION)
        at = np.flatnonzero((owner >= 0) & ~named)
        near = within(self.owners, owner[at])
        known = set(zip(self.owners[near].tolist(), self.image.names_of(self.selected[near]), strict=True))
        pairs = zip(owner[at].tolist(), self.image.names_of(at), strict=True)
        named[at] = np.fromiter(map(known.__contains__, pairs), bool, len(at))
        defined: Array = named & (symbols["section"] != SHN_UNDEF)
        return defined

    def containing(self, addresses: Array) -> Array:
        """The index of the innermost target that contains each address, -1 for none."""
        starts, ends, owners = self.pieces
        index = np.searchsorted(starts, addresses, "right") - 1
        found: Array = np.where((index >= 0) & (addresses < ends[index]), owners[index], -1)
        return found


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
    threads = (symbols["type"] == STT_TLS) & (symbols["section"] != SHN_UNDEF)
    labels = (symbols["type"] == STT_NOTYPE) & (symbols["bind"] != 0) & (not select.untyped)
    if not (threads.any() or labels.any()):
        return {}
    inside = symbols["section"] < len(sections)
    home = np.where(inside, symbols["section"], 0)
    meant = inside & sections.matching(select.sections, select.skip)[home]
    starts, sizes = (image.headers[what].astype("u8")[home] for what in ("address", "size"))
    labels &= meant & (image.headers["flags"] & SHF_EXECINSTR != 0)[home] & (symbols["value"] - starts < sizes)
    threads &= meant
    excluded = image.matching(select.exclude, labels | threads)
    labels, threads = labels & ~excluded, threads & ~excluded
    if labels.any():
        labels &= ~within(symbols["value"], symbols["value"][selected(image, rule)])
    kinds = (("untyped labels in code", labels, select.functions), ("thread-local symbols", threads, select.objects))
    counts = {kind: int((which & image.matching(patterns)).sum()) for kind, which, patterns in kinds if which.any()}
    return {kind: count for kind, count in counts.items() if count}


def targets(image: Image, rule: Rule) -> Targets:
    """The selected symbols by address. Symbols at one address become one: the first name, the largest size.

    Raises BuildplugError if there is none.
    """
    select = rule.select
    wanted = f"targets {replace(select, sections=(), skip=()) if select.rows == 'references' else select}"
    if wanted not in image.found:
        image.found[wanted] = _targets(image, rule)
    made: Targets = image.found[wanted]
    return made


def _targets(image: Image, rule: Rule) -> Targets:
    at = selected(image, rule)
    at = at[sorting(image.symbols["value"][at])]
    rows, function = image.symbols[at], functions(image)[at]
    addresses, first, owners = np.unique(rows["value"], return_index=True, return_inverse=True)
    extents = np.where(rows["size"] > 0, rows["size"], np.where(function, 1, image.arch.word).astype("u8"))
    last = np.append(first[1:], len(at)) - 1
    symbols = at[first]
    several = np.flatnonzero((first != last)[owners])
    names = image.names_of(at[several])
    by_name = several[np.array(sorted(range(len(names)), key=names.__getitem__), "i8")]
    symbols[owners[by_name[::-1]]] = at[by_name[::-1]]  # the first name comes last, and stays
    return Targets(image, addresses, np.maximum.reduceat(extents, first), ~function[last], symbols, at, owners)


def bound(image: Image, rule: Rule, bounds: tuple[str, str], end: int) -> int:
    where = f"rule {rule.name}: ranges"
    try:
        return int(bounds[end], 0)
    except ValueError:
        address = image.address_of(bounds[end])
    if address is None:
        raise BuildplugError(where, f"expected a symbol or an integer, found {bounds[end]!r}", f"see nm {image.path}")
    return address
