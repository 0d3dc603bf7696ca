"""Compares the layout of two links of one kernel, where relocations do not say which bytes are addresses: sections, and
where each symbol lies. Bytes are compared as far as nothing moved."""

from itertools import count

import numpy as np

from buildplug.image.elf import RELOCATION, Image
from buildplug.image.headers import STT_FUNC, STT_OBJECT, Array
from buildplug.image.pairs import Pairs
from buildplug.image.symtab import among


def differences(pairs: Pairs) -> tuple[list[str], list[str]]:
    """How sections of two links differ: moved, where they have the same symbols at other places, and changed."""
    moved, changed = [], []
    sizes, sizes_now = pairs.columns("size")
    if np.array_equal(*pairs.columns("address")):
        unlike = pairs.unlike(np.zeros(0, RELOCATION), {})
    else:
        unlike = np.full(len(pairs), -1)  # many bytes are addresses
    renamed, elsewhere = _compared(pairs)
    suspect = pairs.of_other_kind | renamed | elsewhere | (sizes != sizes_now) | (unlike >= 0)
    for pair in np.flatnonzero(suspect).tolist():
        before, after = pairs.sections(pair)
        if pairs.of_other_kind[pair]:
            changed.append(f"{after.name}: flags {before.flags:#x} became {after.flags:#x}")
        elif renamed[pair]:
            names = [
                {image.name_of(index) for index in _typed(image, image.symbols_of(section.index)).tolist()}
                for image, section in ((pairs.draft, before), (pairs.final, after))
            ]
            odd = sorted(names[0] ^ names[1]) or ["their number"]
            changed.append(f"{after.name}: its symbols differ: {', '.join(odd[:3])}")
        elif before.size != after.size:
            moved.append(f"{after.name}: {before.size} bytes became {after.size}")
        elif elsewhere[pair]:
            moved.append(f"{after.name}: its symbols lie elsewhere in it")
        else:
            changed.append(f"{after.name}: byte +{unlike[pair]:#x} differs")
    return moved, changed


def _compared(pairs: Pairs) -> tuple[Array, Array]:
    """Whether the names of the symbols of each pair differ, and whether their places in it do: bool, (pairs,)."""
    ids: dict[str, int] = {}
    before, after = (_symbols(pairs, image, ids) for image in (pairs.draft, pairs.final))
    counts = [np.bincount(columns[0], minlength=len(pairs)) for columns in (before, after)]
    renamed = counts[0] != counts[1]
    before, after = ([each[~renamed[columns[0]]] for each in columns] for columns in (before, after))
    renamed[before[0][before[1] != after[1]]] = True
    elsewhere = np.zeros(len(pairs), bool)
    elsewhere[before[0][before[2] != after[2]]] = True
    return renamed, elsewhere


def _symbols(pairs: Pairs, image: Image, ids: dict[str, int]) -> list[Array]:
    """The functions and objects of the pairs in a link: columns pair, number of the name, offset, sorted by them."""
    inside = _typed(image, np.flatnonzero(image.symbols["section"] < len(image.sections)))
    homes = image.symbols["section"][inside]
    names = np.fromiter(map(ids.setdefault, image.names_of(inside), count(len(ids))), "i8", len(inside))
    columns = [pairs.numbers(image, homes), names, image.symbols["value"][inside] - image.addresses[homes]]
    columns = [each[columns[0] >= 0] for each in columns]
    order = np.lexsort(columns[::-1])
    return [each[order] for each in columns]


def _typed(image: Image, symbols: Array) -> Array:
    """The functions and objects among symbols, by index. Labels are left out, as linker scripts define them, the
    tables' own too."""
    typed: Array = symbols[among(image.symbols["type"][symbols], (STT_FUNC, STT_OBJECT))]
    return typed
