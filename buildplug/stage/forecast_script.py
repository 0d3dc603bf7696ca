"""The symbols that a linker script assigns, in an image that is foretold: in which sections linkers put them.

Source: tried, and GNU ld's own, where it is named."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from buildplug.image.headers import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_TLS,
    SHF_WRITE,
    SHN_ABS,
    SHT_NOBITS,
    STB_GLOBAL,
    Array,
)
from buildplug.image.names import Names
from buildplug.image.symtab import SYMBOL
from buildplug.linker.family import Family
from buildplug.linker.script import Assigned, Output


def end(outputs: Sequence[Output], numbers: Sequence[int], count: int) -> int:
    """The number of the output section in or behind which a symbol says that the image ends; `count` if none does."""
    ends = (n for o, n in zip(outputs, numbers, strict=True) if any(one.name.lstrip("_") == "end" for one in o.assigns))
    return min(ends, default=count)


def home(one: Assigned, number: int, used: Array, end: int, family: Family, sections: Array) -> int:
    """The index of the section that a symbol of the script is in, which it assigns in or behind an output. GNU ld moves
    none on to a section behind the end of the image (section_for_dot() in its ldlang.c)."""
    if one.is_constant:
        return SHN_ABS
    after = int(np.searchsorted(used, number, "right"))
    before, following = (int(used[min(max(n, 0), len(used) - 1)]) + 1 for n in (after - 1, after))
    if one.inside and before != number + 1:
        later = family.dot_moves_on and _replaces(sections[following], sections[before])
    else:
        later = one.moved and family.dot_moves_on and following <= end + 1
    return following if later else before


def _replaces(following: Any, before: Any) -> bool:
    """Whether GNU ld moves the symbols of an output section that it drops to the one behind it, and not to the one
    before it: it avoids a change to another kind of section (_bfd_nearby_section() in its linker.c)."""
    flags, other = int(following["flags"]), int(before["flags"])
    loaded, loads = (row["flags"] & SHF_ALLOC and row["type"] != SHT_NOBITS for row in (following, before))
    if (flags ^ other) & (SHF_ALLOC | SHF_TLS) or loaded != loads:
        return not flags & (SHF_ALLOC | SHF_TLS) and not (loads and not loaded)
    if (flags ^ other) & SHF_WRITE:
        return bool(flags & SHF_WRITE)
    return bool((flags ^ other) & SHF_EXECINSTR and not flags & SHF_EXECINSTR)


def rows(assigned: Sequence[tuple[Assigned, int, int]], sections: Array, symbols: Array, names: Names) -> Array:
    """The symbols of the script, dtype SYMBOL, each with the number of the output that it is assigned in or behind, and
    the index of its section; some are but other names of `symbols`, whose names come first in `names`."""
    rows = np.zeros(len(assigned), SYMBOL)
    rows["section"], rows["bind"] = [section for *_, section in assigned], STB_GLOBAL
    at = np.minimum(rows["section"], len(sections) - 1)
    ends = np.array([not one.first and section <= number + 1 for one, number, section in assigned], bool)
    places = sections["address"][at] + sections["size"][at] * ends
    rows["value"] = np.where(rows["section"] == SHN_ABS, 0, places)
    for row, (one, *_) in zip(rows, assigned, strict=True):
        for same in names.equal(one.value[0].encode())[:1].tolist() if len(one.value) == 1 else ():
            if same < len(symbols):
                row["section"], row["value"] = symbols["section"][same], symbols["value"][same]
    return rows
