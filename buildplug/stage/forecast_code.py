"""What code of a forecast refers to: the content of its sections, with the relocations filled in that rules of
references look at. Of the others the fields are zeros, and the instructions are as long.

The relocations are read as those of variable-length instructions, with addends of their own.
"""

from collections.abc import Sequence

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image.elf import RELOCATION, Image
from buildplug.image.fields import numbers_of
from buildplug.image.headers import SHN_LORESERVE, SHN_UNDEF, SHT_NOBITS, SHT_REL, Array, among, joined
from buildplug.select.symbols import Targets, targets

MOST_BYTES = 1 << 32  # alignments may ask for any number


@frozen
class Origin:
    """Where the sections and symbols of an object are in a forecast."""

    image: Image
    sections: Array  # the index of each section; 0 for one that is not loaded
    shifts: Array  # what to add to an offset in each section, uint64
    symbols: Array  # the index of each symbol, or -1


def fill(image: Image, origins: Sequence[Origin], rules: Sequence[Rule]) -> Array:
    """Gives the sections of a forecast their content; the relocations against what the rules select, dtype RELOCATION.
    Raises BuildplugError."""
    if image.arch.instruction or any(among(origin.image.headers["type"], [SHT_REL]).any() for origin in origins):
        raise BuildplugError("forecast", f"expected relocations with addends, found those of {image.arch.name}")
    sizes = np.where(image.headers["type"] == SHT_NOBITS, 0, image.headers["size"])
    if sizes.sum(dtype=float) > MOST_BYTES:
        raise BuildplugError("forecast", f"expected at most {MOST_BYTES:#x} bytes of content, found more")
    image.headers["offset"] = np.cumsum(sizes) - sizes
    image.data = np.zeros(int(sizes.sum()), "u1")
    for origin in origins:
        for number in np.flatnonzero(origin.sections).tolist():
            home, section = int(origin.sections[number]), origin.image.sections[number]
            if image.headers["type"][home] != SHT_NOBITS and section.type != SHT_NOBITS:
                start = int(image.headers["offset"][home]) + int(origin.shifts[number])
                image.data[start : start + section.size] = origin.image.bytes_of(section)
    wanted = [targets(image, rule) for rule in rules]
    for origin in origins:
        for chosen in wanted:
            _fill_slots(image, origin, chosen)
    found = joined([_against(image, origin, chosen) for origin in origins for chosen in wanted], RELOCATION)
    found = found.take(np.unique(found[["section", "offset"]], return_index=True)[1])  # several rules may want one
    values = image.symbols["value"][found["symbol"]] + found["addend"].astype("u8")
    _write(image, found, values)
    return found


def _against(image: Image, origin: Origin, chosen: Targets) -> Array:
    """An object's relocations against targets, or aliases of these, as those of the forecast."""
    one = origin.image
    symbols = np.where(origin.symbols >= 0, origin.symbols, 0)
    named = (origin.symbols >= 0) & (chosen.containing(image.symbols["value"][symbols]) >= 0)
    named &= one.symbols["section"] < SHN_LORESERVE
    names = image.names_of(chosen.selected)
    elsewhere = np.flatnonzero(one.symbols["section"] == SHN_UNDEF)
    elsewhere = elsewhere[one.name_table.among([name.encode() for name in names])[elsewhere]]
    index = dict(zip(names, chosen.selected.tolist(), strict=True))
    symbols[elsewhere] = [index.get(name, 0) for name in one.names_of(elsewhere)]
    named[elsewhere] = symbols[elsewhere] > 0
    rows = one.relocations(named, origin.sections > 0)
    rows["symbol"] = symbols[rows["symbol"]]
    return _moved(origin, rows)


def _fill_slots(image: Image, origin: Origin, chosen: Targets) -> None:
    """Writes what the words of targets hold, as far as the object itself has that."""
    one = origin.image
    homes = image.symbols["section"][chosen.symbols[chosen.slots]]
    rows = one.relocations(of=among(origin.sections, homes.tolist()) & (origin.sections > 0))
    places = image.addresses[origin.sections[rows["section"]]] + rows["offset"] + origin.shifts[rows["section"]]
    rows = rows.compress(chosen.containing(places) >= 0)
    symbols = one.symbols[rows["symbol"]]
    inside = (symbols["section"] != SHN_UNDEF) & (symbols["section"] < SHN_LORESERVE)
    rows, symbols = rows.compress(inside), symbols[inside]
    starts = image.addresses[origin.sections[symbols["section"]]] + origin.shifts[symbols["section"]]
    _write(image, _moved(origin, rows), starts + symbols["value"] + rows["addend"].astype("u8"))


def _moved(origin: Origin, rows: Array) -> Array:
    """Relocations of an object with the sections and offsets of the forecast."""
    rows["offset"] += origin.shifts[rows["section"]]
    rows["section"] = origin.sections[rows["section"]]
    return rows


def _write(image: Image, rows: Array, values: Array) -> None:
    """Fills in the fields of relocations."""
    numbers = numbers_of(image.arch, rows["type"])
    for number, field in enumerate(image.arch.fields):
        at = np.flatnonzero((numbers == number) & (image.headers["type"][rows["section"]] != SHT_NOBITS))
        sections, offsets = rows["section"][at], rows["offset"][at]
        words = image.words(sections, offsets, field.size)
        made = field.put(words, offsets + image.addresses[sections], values[at])[0]
        starts = image.contents[0][sections].astype("i8") + offsets.astype("i8")
        content = made.astype(f"{image.arch.byteorder}u{field.size}").view("u1").reshape(-1, field.size)
        image.data[starts[:, None] + np.arange(field.size)] = content
