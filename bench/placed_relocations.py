"""References of a linked image, read out of the objects that it was linked from and out of the linker's map.

The map places an object's relocations. The image's symbols resolve them, those of the object where they are local.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from bench import linker_map
from bench.linker_map import SHF_MERGE
from buildplug.image.elf import Image
from buildplug.image.headers import RESERVED, Array, joined

LOCAL = 0  # STB_LOCAL
KNOWN, MERGED, DISCARDED, UNKNOWN = range(4)  # how a target is known
# A relocation with its address in the image, and its symbol's: the value, or the number of its name, or -1.
RAW = np.dtype([("address", "u8"), ("type", "u4"), ("how", "u4"), ("value", "u8"), ("addend", "i8"), ("name", "i8")])
REFERENCE = np.dtype([("section", "u4"), ("offset", "u8"), ("type", "u4"), ("target", "u8")], align=True)


@dataclass
class Found:
    """The references, dtype REFERENCE, and what made the list doubtful or incomplete, with counts."""

    rows: Array = field(default_factory=lambda: np.zeros(0, REFERENCE))
    notes: Counter[str] = field(default_factory=Counter)


def from_objects(image: Image, folder: Path, map_path: Path) -> Found:
    """The references of a linked image, out of the objects that it was linked from."""
    notes: Counter[str] = Counter()
    places = linker_map.placed(map_path.read_text(errors="surrogateescape"))
    names: list[bytes] = []
    parts = [_of_object(each, *linker_map.positions(each, places[file], notes), names)
             for file, each in linker_map.objects(folder, places, notes)]  # fmt: skip
    raw = joined(parts, RAW)
    addresses = by_names(image, names, notes)
    at = np.flatnonzero(raw["name"] >= 0)
    raw["value"][at] = addresses["value"][raw["name"][at]]
    raw["how"][at] = addresses["how"][raw["name"][at]]
    sections = np.maximum(image.sections_at(raw["address"]), 0)
    rows = np.zeros(len(raw), REFERENCE)
    rows["section"], rows["type"] = sections, raw["type"]
    rows["offset"] = raw["address"] - image.addresses[sections]
    rows["target"] = raw["value"] + raw["addend"].astype("u8")
    for kind, form in image.arch.relocations.items():  # where one string of many is, the field alone says
        at = np.flatnonzero((raw["how"] == MERGED) & (raw["type"] == kind))
        words = image.words(rows["section"][at], rows["offset"][at], form.size)
        rows["target"][at] = form.get(words, raw["address"][at])
    rows["target"] &= np.uint64(image.arch.modulus - 1)
    notes["references to merged sections, read from their fields"] += int((raw["how"] == MERGED).sum())
    notes["references to a local symbol of a discarded section"] += int((raw["how"] == DISCARDED).sum())
    notes["references to a name that is not in the image"] += int((raw["how"] == UNKNOWN).sum())
    known = raw["how"] <= MERGED
    return Found(rows if known.all() else rows.compress(known), notes)


def _of_object(image: Image, position: Array, placed: Array, names: list[bytes]) -> Array:
    """The relocations of an object, dtype RAW; appends the names that they refer to."""
    rows = image.relocations(of=placed)
    symbols, numbers = np.unique(rows["symbol"], return_inverse=True)
    chosen = image.symbols[symbols]
    inside = (chosen["section"] > 0) & (chosen["section"] < RESERVED)
    home = np.where(inside, chosen["section"], 0)
    resolved = np.zeros(len(symbols), RAW)
    resolved["value"] = chosen["value"] + np.where(inside, position[home], np.uint64(0))
    resolved["how"] = np.select([image.headers["flags"][home] & SHF_MERGE != 0, inside & ~placed[home]],
                                [MERGED, DISCARDED], KNOWN)  # fmt: skip
    public = np.flatnonzero(chosen["bind"] != LOCAL)
    resolved["name"] = -1
    resolved["name"][public] = np.arange(len(public)) + len(names)
    names += image.name_table.texts(symbols[public])
    found = resolved.take(numbers)
    found["address"] = position[rows["section"]] + rows["offset"]
    found["type"], found["addend"] = rows["type"], rows["addend"]
    return found


def by_names(image: Image, names: list[bytes], notes: Counter[str]) -> Array:
    """The addresses of the image's symbols of these names, dtype RAW. Hidden symbols have become local."""
    number = _numbers(image, np.flatnonzero(image.symbols["bind"] != LOCAL), names)
    at = np.flatnonzero(number < 0)
    if len(at) and len(image.symbols):
        others, rest = np.flatnonzero(image.symbols["bind"] == LOCAL), [names[place] for place in at.tolist()]
        number[at], first = _numbers(image, others, rest), _numbers(image, others[::-1], rest)
        values = image.symbols["value"]
        notes["names of several local symbols"] += int((values[number[at]] != values[first]).sum())
    found = np.zeros(len(names), RAW)
    found["value"][number >= 0] = image.symbols["value"][number[number >= 0]]
    found["how"] = np.where(number >= 0, KNOWN, UNKNOWN)
    return found


def _numbers(image: Image, among: Array, names: list[bytes]) -> Array:
    """The index of the last of the symbols `among` with each name, -1 for none."""
    known = dict(zip(image.name_table.texts(among), among.tolist(), strict=True)) if len(among) else {}
    return np.fromiter(map(known.get, names, repeat(-1)), "i8", len(names))


def kept(image: Image) -> Found:
    """The references that --emit-relocs has kept."""
    relocations = image.relocations()
    rows = np.zeros(len(relocations), REFERENCE)
    for name in ("section", "offset", "type"):
        rows[name] = relocations[name]
    rows["target"] = image.symbols["value"][relocations["symbol"]] + relocations["addend"].astype("u8")
    rows["target"] &= np.uint64(image.arch.modulus - 1)
    return Found(rows)
