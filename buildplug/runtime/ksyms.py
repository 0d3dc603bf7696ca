"""The reference for lookups in a table of symbols: templates/runtime/ksyms.c.j2."""

from bisect import bisect_left, bisect_right
from dataclasses import replace

import numpy as np

from buildplug.base.records import frozen
from buildplug.tables.ksyms_format import ABSOLUTE, Ksyms


@frozen
class Symbol:
    """The result of a lookup."""

    index: int
    address: int
    size: int
    type: str
    name: bytes


def symbol(table: Ksyms, at: int, index: int) -> Symbol:
    """The symbol at an index, in a table at address `at`. C: bp_ksyms_get()."""
    section, offset, size, kind = table.rows[index].tolist()
    return Symbol(index, (_base(table, at, section) + offset) % table.arch.modulus, size, chr(kind), table.names[index])


def _base(table: Ksyms, at: int, section: int) -> int:
    return int(table.bases[section]) + (0 if table.sections["flags"][section] & ABSOLUTE else at)


def find(table: Ksyms, at: int, address: int) -> Symbol | None:
    """The last symbol at or before an address, in the section that contains it. C: bp_ksyms_find()."""
    for section, size in enumerate(table.sections["size"].tolist()):
        offset = (address - _base(table, at, section)) % table.arch.modulus
        if offset < size:
            first, end = table.first[section : section + 2].tolist()
            count = int(np.searchsorted(table.rows["offset"][first:end], np.uint64(offset), "right"))
            return symbol(table, at, first + count - 1) if count else None
    return None


def lookup(table: Ksyms, at: int, name: bytes) -> list[Symbol]:
    """All symbols with a name, by index, then those that have it as their second one; each has the name that was asked
    for. C: bp_ksyms_lookup(), bp_ksyms_next().
    """
    if not table.by_name:
        return []
    low, high = bisect_left(table.spelled, name), bisect_right(table.spelled, name)
    return [replace(symbol(table, at, index), name=name) for index in table.order[low:high].tolist()]


def format_address(table: Ksyms, at: int, address: int) -> bytes:
    """name+0x12/0x40, or only the address if there is no symbol. C: bp_ksyms_print()."""
    return _format(table, at, address, 0)


def format_return_address(table: Ksyms, at: int, address: int) -> bytes:
    """format_address() of the call before a return address. C: bp_ksyms_print_return()."""
    return _format(table, at, address & ~1 if table.arch.thumb else address, 1)


def _format(table: Ksyms, at: int, address: int, back: int) -> bytes:
    found = find(table, at, (address - back) % table.arch.modulus)
    if found is None:
        return b"%#x" % address
    return b"%s+%#x/%#x" % (found.name, (address - back - found.address) % table.arch.modulus, found.size)
