"""The function that contains each of many addresses, or whose address each of many words holds."""

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, SHF_EXECINSTR, SHN_UNDEF, STT_FUNC, STT_NOTYPE, Array, among, sorting


def containing(image: Image, addresses: Array, where: str, *, entry: bool = False) -> Array:
    """The index of the symbol of the function that contains each address, shape of `addresses`: the last one that
    starts at or before it and reaches beyond it. If no size reaches so far, as assembly may give none, it is the last
    function or label before it in its section; with `entry` the first function after it, as compilers leave room for a
    tracer in front of functions. Of several symbols at one address a function goes before a label, a global one before
    a local one, and the first one counts.

    Raises BuildplugError if there is none.
    """
    symbols = image.symbols
    inside = symbols["section"] < len(image.sections)
    home = np.where(inside, symbols["section"], 0)
    code = image.headers["flags"] & (SHF_ALLOC | SHF_EXECINSTR) == SHF_ALLOC | SHF_EXECINSTR
    starts = image.headers["address"].astype("u8")
    ends = starts + image.headers["size"].astype("u8")
    named = inside & code[home] & among(symbols["type"], (STT_FUNC, STT_NOTYPE)) & (starts[home] <= symbols["value"])
    labels = np.flatnonzero(named)
    local, label = symbols["bind"][labels] == 0, symbols["type"][labels] != STT_FUNC
    labels = labels[sorting(labels, local, label, symbols["value"][labels])]
    labels = labels[np.append(True, np.diff(symbols["value"][labels]) != 0)[: len(labels)]]
    functions = labels[symbols["type"][labels] == STT_FUNC]
    values = symbols["value"]
    found = _innermost(values[functions], values[functions] + symbols["size"][functions], addresses)
    if entry:
        near = np.append(functions, -1)[np.searchsorted(values[functions], addresses)]
    else:
        near = np.append(labels, -1)[np.searchsorted(values[labels], addresses, "right") - 1]
    beside = (near >= 0) & (starts[home[near]] <= addresses) & (addresses < ends[home[near]])
    chosen: Array = np.where(found >= 0, np.append(functions, -1)[found], np.where(beside, near, -1))
    missing = np.flatnonzero(chosen < 0)
    if len(missing):
        address = int(addresses[missing[0]])
        raise image.bad(f"{where}: expected a function that contains {address:#x}, found none", "see nm -n")
    return chosen


def held(image: Image, places: Array) -> Array:
    """The index of the symbol of the function whose address the word at each place holds, shape of `places`; -1 if
    there is none. Of several symbols at one address a global one goes before a local one, and the first one counts."""
    homes, symbols, loaded = image.sections_at(places), image.symbols, image.loaded
    words = image.words(np.maximum(homes, 0), places - image.addresses[homes], image.arch.word) * (homes >= 0)
    order = sorting(loaded["place"])
    near = np.append(order, -1)[np.searchsorted(loaded["place"], places, sorter=order)]
    fields = np.append(loaded, np.zeros(1, loaded.dtype))[near]  # of a position-independent image
    words = np.where((near >= 0) & (fields["place"] == places), fields["address"], words)
    functions = np.flatnonzero((symbols["type"] == STT_FUNC) & (symbols["section"] != SHN_UNDEF))
    functions = functions[sorting(functions, symbols["bind"][functions] == 0, symbols["value"][functions])]
    values = symbols["value"][functions]
    found = np.append(functions, -1)[np.searchsorted(values, words)]
    chosen: Array = np.where((found >= 0) & (symbols["value"][found] == words), found, -1)
    return chosen


def _innermost(starts: Array, ends: Array, addresses: Array) -> Array:
    """The last of the extents, sorted by their starts, that contains each address; -1 if there is none."""
    found = np.searchsorted(starts, addresses, "right") - 1
    ends, farthest = np.append(ends, 0), np.append(np.maximum.accumulate(ends), 0)  # the last is that of index -1
    while (outer := (addresses >= ends[found]) & (addresses < farthest[found])).any():
        found -= outer
    return np.where(addresses < ends[found], found, -1)
