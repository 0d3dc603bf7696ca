"""The symbols of an image as `nm -n` lists them: a line each, address, letter and name, by address and then by name.

Knows nothing of rules: what a list leaves out is said by its caller.
"""

from collections.abc import Sequence

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import STT_FILE, STT_SECTION, Array, among, sorting
from buildplug.image.name_patterns import matching
from buildplug.image.names import Names
from buildplug.image.symbols import letters
from buildplug.native import loops


def listed(image: Image) -> Array:
    """Mask of the symbols that nm lists without --debug-syms, bool, shape (symbols,)."""
    symbols = image.symbols
    found: Array = ~among(symbols["type"], (STT_SECTION, STT_FILE))
    found[:1] = False  # the gABI's reserved symbol
    return found


def system_map(image: Image, excluded: Sequence[str]) -> bytes:
    """Linux's System.map as its scripts/mksysmap makes it of nm's list; `excluded`: shell patterns of names."""
    of_type = ~among(letters(image), map(ord, "aNUw"))
    chosen = np.flatnonzero(listed(image) & of_type)
    return by_address(image, chosen[~matching(image.name_table.chosen(chosen), excluded)])


def by_address(image: Image, chosen: Array) -> bytes:
    """The lines of defined symbols; `chosen`: their indices, ascending. Names are compared as by LC_COLLATE=C."""
    chosen = chosen[sorting(image.symbols["value"][chosen])]
    addresses = image.symbols["value"][chosen]
    equal = addresses[1:] == addresses[:-1]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal)[: len(chosen)])
    by_name = tied[image.name_table.chosen(chosen[tied]).order]
    chosen[tied] = chosen[by_name[sorting(addresses[by_name])]]
    return _lines(addresses, letters(image)[chosen], image.name_table.chosen(chosen), 2 * image.arch.word)


def _lines(addresses: Array, letters: Array, names: Names, digits: int) -> bytes:
    quickly = loops.list_symbols(addresses, letters, names.strings, names.starts, names.lengths, digits)
    if quickly is not None:
        return quickly
    written = addresses.astype(">u8").tobytes().hex("\n", 8).encode().split(b"\n") if len(addresses) else []
    spaced = [b" %c " % letter for letter in range(256)]
    parts = [b"\n"] * (4 * len(addresses))
    parts[0::4] = [text[-digits:] for text in written]
    parts[1::4] = map(spaced.__getitem__, letters.tolist())
    parts[2::4] = names.texts()
    return b"".join(parts)
