"""Compares the layout of two links of one kernel, where no relocations say which bytes are addresses: sections, and
where each symbol lies. Bytes may differ only in words that changed as addresses, and distances of them, do when
sections move; where addresses are not whole words, bytes are compared only if nothing moved or grew."""

from itertools import count

import numpy as np

from buildplug.image.computed import Computed
from buildplug.image.elf import RELOCATION, Image
from buildplug.image.headers import SHF_ALLOC, STT_FUNC, STT_OBJECT, Array, among, distinct, sorting, within
from buildplug.image.pairs import Pairs
from buildplug.image.places import unexplained

SIZES = (4, 8, 2)  # of words, in bytes
NONE = np.zeros(0, "i8")
MOVES = 256  # of different sizes, the most frequent ones first


def differences(pairs: Pairs) -> tuple[list[str], list[str], list[str]]:
    """How sections of two links differ: moved, where they have the same symbols at other places; changed; and unproved,
    where words changed as distances do when sections move, but it is not known of what they are."""
    moved, changed, unproved = [], [], []
    sizes, sizes_now = pairs.columns("size")
    renamed, elsewhere = _compared(pairs)
    unlike, unsure = _unlike(pairs)
    suspect = pairs.of_other_kind | renamed | elsewhere | (sizes != sizes_now) | unsure
    suspect[[*unlike]] = True
    words = Computed(pairs)
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
            found = words.explained(pair, unlike.get(pair, NONE))
            if found.wrong is not None:
                changed.append(f"{after.name}: {pairs.byte(pair, found.wrong)}")
            elif unsure[pair] or not found.proved:
                unproved.append(f"{after.name}: words differ as distances do when sections move")
    return moved, changed, unproved


def _unlike(pairs: Pairs) -> tuple[dict[int, Array], Array]:
    """The offsets of the bytes in which a pair differs otherwise than moves of sections explain, by pair; and whether
    each pair has bytes that only the size of a move explains, shape (pairs,)."""
    unlike, unsure = dict[int, Array](), np.zeros(len(pairs), bool)
    stay = np.array_equal(*pairs.columns("address")) and not _other_moves(pairs).any()
    fields = pairs.final.arch.relocations.values()
    if not stay and not (fields and all(field.whole for field in fields)):
        return unlike, unsure  # many bytes are parts of addresses
    distances = _distances(pairs)
    for pair, offset in pairs.differing(np.zeros(0, RELOCATION), {}):
        homes = pairs.before[pair], pairs.after[pair]
        odd = np.arange(len(pair))
        if not stay:
            left = unexplained(pairs.draft, homes[0], pairs.final, homes[1], offset)
            odd = left[~_shifted(pairs, homes, offset, left, distances)]
            unsure[pair[left]] = True
        for number in distinct(pair[odd]).tolist():
            unlike[number] = np.append(unlike.get(number, NONE), offset[odd[pair[odd] == number]])
    return unlike, unsure


def _distances(pairs: Pairs) -> Array:
    """How much addresses and distances between addresses may have changed, as far as sections moved, uint64."""
    addresses = [each.astype("u8") for each in pairs.columns("address")]
    moves, counts = np.unique(addresses[1] - addresses[0], return_counts=True)
    others = _other_moves(pairs)
    often = moves[np.argsort(-counts, kind="stable")[:MOVES]]
    moves = np.concatenate([np.zeros(1, "u8"), others[:MOVES], often])
    return distinct(moves[:, None] - moves)


def _other_moves(pairs: Pairs) -> Array:
    """The distances by which the starts and ends of sections moved that are no pairs, such as tables, uint64."""
    sides = []
    for image, paired in ((pairs.draft, pairs.before), (pairs.final, pairs.after)):
        rest = image.headers["flags"] & SHF_ALLOC != 0
        rest[paired] = False
        sides.append({s.name: (s.address, s.address + s.size) for s in image.sections.at(rest)})
    common = sorted(sides[0].keys() & sides[1].keys())
    bounds = [np.array([side[name] for name in common], "u8") for side in sides]
    return distinct(bounds[1] - bounds[0])


def _shifted(pairs: Pairs, homes: tuple[Array, Array], offsets: Array, left: Array, distances: Array) -> Array:
    """Whether each byte `left` is in some word that changed by one of `distances`: bool, shape as left."""
    found = np.zeros(len(left), bool)
    for size in SIZES:
        mask = np.uint64((1 << 8 * size) - 1)
        for back in range(size):
            at = np.flatnonzero(~found & (offsets[left] >= back))
            at = at[(offsets[left] - back)[at] + size <= pairs.draft.contents[1].astype("i8")[homes[0][left[at]]]]
            starts = (offsets[left] - back)[at]
            words = [i.words(h[left[at]], starts, size) for i, h in zip((pairs.draft, pairs.final), homes, strict=True)]
            found[at] = within(words[1] - words[0] & mask, distances & mask)
    return found


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
    order = sorting(*columns[::-1])
    return [each[order] for each in columns]


def _typed(image: Image, symbols: Array) -> Array:
    """The functions and objects among symbols, by index. Labels are left out, as linker scripts define them, the
    tables' own too."""
    typed: Array = symbols[among(image.symbols["type"][symbols], (STT_FUNC, STT_OBJECT))]
    return typed
