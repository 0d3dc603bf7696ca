"""Compares the layout of two links of one kernel, where relocations do not say which bytes are addresses: sections, and
where each symbol lies. Bytes are compared as far as nothing moved."""

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import STT_FUNC, STT_OBJECT, Array, Section
from buildplug.image.symtab import among


def differences(draft: Image, final: Image, pairs: list[tuple[Section, Section]]) -> tuple[list[str], list[str]]:
    """How sections of two links differ: moved, where they have the same symbols at other places, and changed."""
    moved, changed = [], []
    same_places = all(before.address == after.address for before, after in pairs)
    for before, after in pairs:
        names, places = zip(*(_symbols(*one) for one in ((draft, before), (final, after))), strict=True)
        if (before.type, before.flags) != (after.type, after.flags):
            changed.append(f"{after.name}: flags {before.flags:#x} became {after.flags:#x}")
        elif names[0] != names[1]:
            odd = sorted(set(names[0]) ^ set(names[1])) or ["their number"]
            changed.append(f"{after.name}: its symbols differ: {', '.join(odd[:3])}")
        elif before.size != after.size:
            moved.append(f"{after.name}: {before.size} bytes became {after.size}")
        elif not np.array_equal(places[0], places[1]):
            moved.append(f"{after.name}: its symbols lie elsewhere in it")
        elif same_places:
            unlike = draft.bytes_of(before) != final.bytes_of(after)
            if unlike.any():
                changed.append(f"{after.name}: byte +{int(np.argmax(unlike)):#x} differs")
    return moved, changed


def _symbols(image: Image, section: Section) -> tuple[list[str], Array]:
    """The functions and objects of a section: names, sorted, and their offsets, shape (n,), in that order. Labels are
    left out, as linker scripts define them, the tables' own too."""
    typed = among(image.symbols["type"], (STT_FUNC, STT_OBJECT))
    inside = np.flatnonzero((image.symbols["section"] == section.index) & typed)
    offsets = image.symbols["value"][inside] - np.uint64(section.address)
    names = [image.names[index] for index in inside.tolist()]
    order = np.lexsort((offsets, np.array(names, str)))
    return [names[index] for index in order.tolist()], offsets[order]
