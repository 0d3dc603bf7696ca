"""The map that a linker writes (-Map=), and the objects that it names: where each input section is in the image."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, Array

SHF_MERGE = 0x10  # of a section whose equal strings, or constants, become one
# An input section in a linker's map: (section, address, size, file), or (address, size, file, section).
BFD = re.compile(r"^ ([^*\s]\S*)\s+0x([0-9a-f]+) +0x([0-9a-f]+) (.+)$", re.MULTILINE)
LLD = re.compile(r"^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ {9}(.+):\(([^\n+]*)(?:\+0x[0-9a-f]+)?\)$", re.MULTILINE)
MOLD = re.compile(r"^ *0x([0-9a-f]+) +(\d+) +\d+ {9}(.+):\((.*)\)$", re.MULTILINE)
MEMBER = re.compile(r"^(.+)\(([^()]+)\)$")

Places = dict[str, dict[tuple[str, int], list[int]]]  # file -> section and size -> addresses, in the map's order


def placed(text: str) -> Places:
    """The input sections of a map of GNU ld, lld or mold."""
    if "\nLinker script and memory map\n" in text:
        text = text.partition("\nLinker script and memory map\n")[2]  # before it: what was discarded
        rows = [(file, name, int(size, 16), address) for name, address, size, file in BFD.findall(text)]
    elif text.lstrip().startswith("VMA              LMA"):
        rows = [(file, name, int(size, 16), address) for address, size, file, name in LLD.findall(text)]
    else:
        rows = [(file, name, int(size), address) for address, size, file, name in MOLD.findall(text)]
    found: Places = defaultdict(lambda: defaultdict(list))
    for file, name, size, address in rows:
        found[file][name, size].append(int(address, 16))
    return found


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The members of an archive of GNU ar, by name. Those of a thin one are files, named from its folder."""
    archive, at, long_names = path.read_bytes(), 8, b""
    thin = archive.startswith(b"!<thin>")
    while at + 60 <= len(archive):
        name, size = archive[at : at + 16].rstrip(), int(archive[at + 48 : at + 58])
        content = archive[at + 60 : at + 60 + size]
        listed = name.strip(b"/") and name != b"/SYM64/"
        if name == b"//":
            long_names = content
        elif listed:
            raw = long_names[int(name[1:]) :].partition(b"/\n")[0] if name.startswith(b"/") else name.removesuffix(b"/")
            text = raw.decode(errors="surrogateescape")
            yield text, (path.parent / text).read_bytes() if thin else content
        at += 60 if thin and listed else 60 + size + size % 2


def objects(folder: Path, places: Places, notes: Counter[str]) -> Iterator[tuple[str, Image]]:
    """The objects that a map names, each by its name there."""
    archives: dict[str, dict[str, bytes]] = {}
    for file in places:
        path, member = folder / file, MEMBER.match(file)
        if path.is_file():
            yield file, Image(path)
        elif member and (folder / member[1]).is_file():
            if member[1] not in archives:
                known = list(members(folder / member[1]))
                archives[member[1]] = dict(known)
                notes["archive members of one name"] += len(known) - len(archives[member[1]])
            yield file, Image.of(path, archives[member[1]][member[2]])
        elif file != "<internal>":  # lld's own, and merged strings
            notes[f"sections of no readable object, such as {Path(file).name}"] += len(places[file])


def positions(image: Image, own: dict[tuple[str, int], list[int]], notes: Counter[str]) -> tuple[Array, Array]:
    """The address of each section of an object, uint64, and whether the map has it, bool."""
    found, known = np.zeros(len(image.sections), "u8"), np.zeros(len(image.sections), bool)
    alloc = np.flatnonzero(image.headers["flags"] & SHF_ALLOC).tolist()
    keys = [(image.sections.names[index], int(image.headers["size"][index])) for index in alloc]
    counts, used, resized = Counter(keys), Counter[tuple[str, int]](), {name for name, size in own if size}
    for index, key in zip(alloc, keys, strict=True):
        addresses = own.get(key, [])
        if len(addresses) == counts[key]:
            found[index], known[index] = addresses[used[key]], True
            used[key] += 1
        elif addresses:
            notes["sections of an object that share name and size"] += 1
        elif key[0] in resized and not image.headers["flags"][index] & SHF_MERGE:
            notes["sections of another size in the map"] += 1
    return found, known
