"""The symbols of an image as `nm -n` lists them: a line each, address, letter and name, by address and then by name.

Knows nothing of rules: what a list leaves out is said by its caller.
"""

from collections.abc import Sequence

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import STT_FILE, STT_SECTION, Array, among, sorting
from buildplug.image.name_patterns import matching
from buildplug.image.symbols import letters


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
    addresses, names = image.symbols["value"][chosen], image.name_table.texts(chosen)
    equal = addresses[1:] == addresses[:-1]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    rank = dict(zip(tied.tolist(), addresses[tied].tolist(), strict=True))
    order = np.arange(len(chosen))
    order[tied] = sorted(rank, key=lambda at: (rank[at], names[at]))

    digits = 2 * image.arch.word
    written = addresses.astype(">u8").tobytes().hex("\n", 8).encode().split(b"\n") if len(chosen) else []
    spaced = [b" %c " % letter for letter in range(256)]
    parts = [b"\n"] * (4 * len(chosen))
    parts[0::4] = [text[-digits:] for text in written] if digits < 16 else written
    parts[1::4] = map(spaced.__getitem__, letters(image)[chosen[order]].tolist())
    parts[2::4] = map(names.__getitem__, order.tolist())
    return b"".join(parts)
