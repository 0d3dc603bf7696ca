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
    STB_GNU_UNIQUE,
    STB_WEAK,
    STT_FUNC,
    STT_GNU_IFUNC,
    STT_OBJECT,
    Array,
    among,
    sorting,
)

# What nm says of symbols in sections with certain names (binutils, bfd/syms.c and bfd/elf.c).
NAMED = {".drectve": "i", ".edata": "e", ".idata": "i", ".pdata": "p"}  # alone, or before a dot, dollar or digit
DEBUG = (".debug*", ".gnu.debuglto_.debug_*", ".gnu.linkonce.wi.*", ".zdebug*", ".line*", ".stab*", ".gdb_index*")


def functions(image: Image) -> Array:
    """Whether each symbol is code, bool, shape (symbols,): by type, else by section."""
    symbols = image.symbols
    code = np.append(image.headers["flags"] & SHF_EXECINSTR != 0, False)
    inside = code[np.minimum(symbols["section"], len(image.sections))]
    found: Array = among(symbols["type"], (STT_FUNC, STT_GNU_IFUNC)) | ((symbols["type"] != STT_OBJECT) & inside)
    return found


def is_data(image: Image, sections: Array, offsets: Array) -> Array:
    """Whether each offset in a section, by its index, is data: everything in a section without code, else what
    STT_OBJECT symbols cover. bool, shape as offsets."""
    objects = image.symbols[image.symbols["type"] == STT_OBJECT]
    objects = objects[objects["section"] < len(image.sections)]
    starts = (objects["value"] - image.addresses[objects["section"]]).astype("i8")
    order = sorting(starts, objects["section"])
    home, starts, sizes = objects["section"][order], starts[order], objects["size"][order].astype("i8")
    found: Array = image.headers["flags"][sections] & SHF_EXECINSTR == 0
    if len(objects):
        # One key for section and offset; no section with sites is of 1 TiB.
        keys = (home.astype("i8") << 40) + np.clip(starts, 0, (1 << 40) - 1)
        near = np.searchsorted(keys, (sections.astype("i8") << 40) + offsets.astype("i8"), "right") - 1
        found |= (near >= 0) & (home[near] == sections) & (offsets.astype("i8") < (starts + sizes)[near])
    return found


def letters(image: Image) -> Array:
    """The letter that nm prints for each symbol (binutils, nm(1)), uint8, shape (symbols,)."""
    flags, kinds, sections = image.headers["flags"], image.headers["type"], image.sections
    written, alloc = flags & SHF_WRITE != 0, flags & SHF_ALLOC != 0
    cases = (
        flags & SHF_EXECINSTR != 0, kinds == SHT_NOBITS, alloc & written, alloc, sections.matching(DEBUG), ~written,
    )  # fmt: skip
    of_section = np.append(np.select(cases, list(map(ord, "tbdrNn")), ord("?")), ord("?")).astype("u1")
    for stem, letter in NAMED.items():
        of_section[np.flatnonzero(sections.matching((stem, f"{stem}[.$0-9]*")))] = ord(letter)
    symbols = image.symbols
    found: Array = of_section[np.minimum(symbols["section"], len(image.sections))]
    found[symbols["section"] == SHN_ABS] = ord("a")
    capital = (found >= ord("a")) & (found <= ord("z")) & (symbols["bind"] == STB_GLOBAL)
    found[capital] -= 32
    found[symbols["bind"] == STB_GNU_UNIQUE] = ord("u")
    weak = symbols["bind"] == STB_WEAK
    found[weak] = np.where(symbols["type"] == STT_OBJECT, ord("V"), ord("W"))[weak]
    found[symbols["type"] == STT_GNU_IFUNC] = ord("i")
    undefined = symbols["section"] == SHN_UNDEF
    found[undefined] = np.where(weak, found | 32, ord("U"))[undefined]
    return found
