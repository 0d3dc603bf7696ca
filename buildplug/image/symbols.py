"""Derived attributes of symbols: whether each is code, and the letter that nm prints for it."""

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    SHN_ABS,
    SHN_UNDEF,
    SHT_NOBITS,
    STB_GLOBAL,
    STB_WEAK,
    STT_FUNC,
    STT_OBJECT,
    Array,
)


def functions(image: Image) -> Array:
    """Whether each symbol is code, bool, shape (symbols,): by type, else by section."""
    symbols = image.symbols
    code = np.append(image.headers["flags"] & SHF_EXECINSTR != 0, False)
    inside = code[np.minimum(symbols["section"], len(image.sections))]
    found: Array = (symbols["type"] == STT_FUNC) | ((symbols["type"] != STT_OBJECT) & inside)
    return found


def letters(image: Image) -> Array:
    """The letter that nm prints for each symbol (binutils, nm(1)), uint8, shape (symbols,)."""
    flags, kinds = image.headers["flags"], image.headers["type"]
    written, alloc = flags & SHF_WRITE != 0, flags & SHF_ALLOC != 0
    cases = (alloc & (flags & SHF_EXECINSTR != 0), alloc & (kinds == SHT_NOBITS), alloc & written, alloc, ~written)
    of_section = np.append(np.select(cases, list(map(ord, "tbdrn")), ord("?")), ord("?")).astype("u1")
    symbols = image.symbols
    found: Array = of_section[np.minimum(symbols["section"], len(image.sections))]
    found[symbols["section"] == SHN_ABS] = ord("a")
    found[(found != ord("?")) & (symbols["bind"] == STB_GLOBAL)] -= 32
    weak = symbols["bind"] == STB_WEAK
    found[weak] = np.where(symbols["type"] == STT_OBJECT, ord("V"), ord("W"))[weak]
    found[symbols["section"] == SHN_UNDEF] = ord("U")
    return found
