"""One link instead of two: patches an image linked with a table's previous object into exactly what the linker would
make with the new one.

Requires objects that look the same to a linker: the same sections and symbols, and as many relocations. Only the
table's bytes and the targets of its relocations may differ. In any doubt: Misfit, and the image is relinked.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import REL, SHF_ALLOC, SHT_REL, SHT_RELA, Array, Section, among, record, rela

SHT_RELR = 19  # packed relative relocations, for the loader


class Misfit(Exception):
    """Why the image must be relinked."""


@frozen
class Patch:
    """Bytes to write at a file offset."""

    offset: int
    data: bytes


def changes(rules: Sequence[Rule], linked: Image, objects: Sequence[tuple[Path, Path]]) -> list[Patch]:
    """Patches for an image linked with the first of each pair of objects: they make of it what a link with the second
    ones would. The objects are those of the rules' tables, then that of the anchors, if any. Raises Misfit."""
    found = list[Patch]()
    for number, (one, other) in enumerate(objects):
        before, after, anchors = Image(one), Image(other), number >= len(rules)
        rule = rules[0 if anchors else number]
        check(rule, before, after)
        found += [] if anchors else patches(rule, linked, before, after)
    return found


def check(rule: Rule, before: Image, after: Image) -> None:
    """Raises Misfit unless two objects of a rule's table differ only in its bytes and relocations."""
    own = _sized(before, rule)
    if own != _sized(after, rule):
        raise Misfit(f"rule {rule.name}: its table takes {_sized(after, rule)} bytes, {own} were kept")
    if len(before.sections) != len(after.sections):
        raise Misfit(f"rule {rule.name}: its object has other sections")
    for one, other in zip(before.sections, after.sections, strict=True):
        relocations = one.type in (SHT_REL, SHT_RELA)
        if relocations and one.size != other.size:
            counts = [section.size // (section.entsize or 1) for section in (other, one)]
            raise Misfit(f"rule {rule.name}: its table has {counts[0]} relocations, the previous one had {counts[1]}")
        same = relocations or one.name == rule.section
        if _header(one) != _header(other) or not (same or np.array_equal(before.bytes_of(one), after.bytes_of(other))):
            raise Misfit(f"rule {rule.name}: {one.name or 'the start'} of its object is another")


def patches(rule: Rule, linked: Image, before: Image, after: Image) -> list[Patch]:
    """Patches for an image linked with `before`: they turn the table's relocations that it keeps into those of `after`.
    Raises Misfit."""
    old, new = (_relocations(image, rule) for image in (before, after))
    at = linked.address_of(rule.symbol)
    start = before.address_of(rule.symbol)
    home = linked.section_at(at) if at is not None else None
    if at is None or start is None or home is None:
        raise Misfit(f"rule {rule.name}: the image lacks its table")
    base, size = at - start, _sized(before, rule)
    if linked.type != "ET_EXEC":
        _check_loader(rule, linked, base, size, old, new)
    if old.tobytes() == new.tobytes() or not linked.has_relocations:
        return []  # nothing of them is in the image that would change
    names = {before.entry_of(symbol): symbol for symbol in range(len(before.symbols))}  # the same in both objects
    (expected, sure), (wanted, known) = (_translated(linked, before, names, base, rows) for rows in (old, new))
    sure &= known
    if old[~sure].tobytes() != new[~sure].tobytes():
        raise Misfit(f"rule {rule.name}: a relocation is against a symbol that only its object has")
    found, done = [], 0
    kept = among(linked.headers["type"], (SHT_REL, SHT_RELA)) & (linked.headers["flags"] & SHF_ALLOC == 0)
    for table in linked.sections.at(kept & (linked.headers["info"] == home.index)):
        rows = _raw(linked, table).copy()
        own = np.flatnonzero((rows["offset"] >= base) & (rows["offset"] < base + size))
        part = slice(done, done + len(own))
        done += len(own)
        chosen = sure[part]
        if len(chosen) == len(own) and rows[own[chosen]].tobytes() == expected[part][chosen].tobytes():
            rows[own[chosen]] = wanted[part][chosen]
            found.append(Patch(table.offset, rows.tobytes()))
            continue
        done = -1
        break
    if done != len(old):
        raise Misfit(f"rule {rule.name}: the linker keeps the relocations of its table in another way")
    return found


def apply(path: Path, changes: list[Patch]) -> None:
    """Writes patches into a file."""
    with path.open("r+b") as file:
        for change in changes:
            file.seek(change.offset)
            file.write(change.data)


def _header(section: Section) -> tuple[object, ...]:
    s = section
    return s.name, s.type, s.flags, s.size, s.link, s.info, s.entsize, s.alignment


def _sized(image: Image, rule: Rule) -> int:
    """Total size in bytes of the sections of a rule's table in an object."""
    return sum(section.size for section in image.sections if section.name == rule.section)


def _raw(image: Image, table: Section) -> Array:
    """The records of a relocation section as in the file: offset, info, and for RELA the addend."""
    kind = rela(image.arch) if table.type == SHT_RELA else record(REL, image.arch)
    return np.frombuffer(image.bytes_of(table), kind)


def _relocations(image: Image, rule: Rule) -> Array:
    """_raw() of the table's relocations in an object; shape (0,) if it has none."""
    for table in image.sections:
        if table.type in (SHT_REL, SHT_RELA) and image.sections[table.info].name == rule.section:
            return _raw(image, table)
    return np.zeros(0, record(REL, image.arch))


def _translated(linked: Image, made: Image, names: dict[int, int], base: int, rows: Array) -> tuple[Array, Array]:
    """An object's relocations as the image keeps them, with the object at `base`; and a mask of those that are certain:
    against a symbol found by name. `names`: index in the object's symbol table -> symbol."""
    shift = 32 if made.arch.bits == 64 else 8
    info = rows["info"].astype("u8")
    used, number = np.unique(info >> np.uint64(shift), return_inverse=True)
    entries = _entries(linked, made, [names[entry] for entry in used.tolist()])[number]
    moved = rows.copy()
    moved["offset"] += rows["offset"].dtype.type(base)
    moved["info"] = (np.maximum(entries, 0).astype("u8") << np.uint64(shift)) | (info & np.uint64((1 << shift) - 1))
    return moved, entries >= 0


def _entries(linked: Image, made: Image, symbols: list[int]) -> Array:
    """The indices of an object's global symbols in the image's symbol table, shape (symbols,); -1 if uncertain."""
    chosen = np.array(symbols, "i8")
    names = made.names_of(chosen)
    near = np.flatnonzero(linked.name_table.among([name.encode() for name in names]))
    texts = linked.names_of(near)
    once = [count == 1 for count in map(Counter(texts).__getitem__, texts)]
    places = {name: linked.entry_of(i) for name, i, sure in zip(texts, near.tolist(), once, strict=True) if sure}
    entries = np.array([places.get(name, -1) for name in names], "i8")
    return np.where(made.symbols["bind"][chosen] != 0, entries, -1)


def _check_loader(rule: Rule, linked: Image, base: int, size: int, old: Array, new: Array) -> None:
    """Raises Misfit unless the loader fills the same fields of a table: their number determines the layout."""
    places = set[int]()
    for table in linked.sections.at(among(linked.headers["type"], (SHT_REL, SHT_RELA, SHT_RELR))):
        if table.type == SHT_RELR and old.tobytes() != new.tobytes():
            raise Misfit(f"rule {rule.name}: its relocations differ, and the loader's are packed")
        if table.type != SHT_RELR and table.alloc:
            offsets = _raw(linked, table)["offset"].astype("u8") - np.uint64(base)  # modulo 2^64: it may be a high one
            places.update(offsets[offsets < size].tolist())
    mask = 0xFFFFFFFF if linked.arch.bits == 64 else 0xFF
    kinds = [(row["info"] & row["info"].dtype.type(mask)).tolist() for row in (old, new)]
    filled = {kind for kind, at in zip(kinds[0], old["offset"].tolist(), strict=True) if at in places}
    for kind, rows in zip(kinds, (old, new), strict=True):
        if {at for k, at in zip(kind, rows["offset"].tolist(), strict=True) if k in filled} != places:
            raise Misfit(f"rule {rule.name}: the loader is to fill other fields of its table")
    if set(kinds[1]) - set(kinds[0]):
        raise Misfit(f"rule {rule.name}: its relocations are of other types")
