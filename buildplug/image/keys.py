"""The references of paired sections in two links, as rows of numbers that are equal for equal references."""

from functools import cached_property
from itertools import count

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.headers import SHN_LORESERVE, SHN_UNDEF, STT_SECTION, STT_TLS, Array, sorting
from buildplug.image.pairs import Pairs


class Keys:
    """The references of all pairs; `before` and `after` are the relocations in the draft and in the final image."""

    def __init__(self, pairs: Pairs, before: Array, after: Array):
        self.pairs = pairs
        ids: dict[object, int] = {}
        self._sides = sides = ((pairs.draft, before), (pairs.final, after))
        self._columns = [
            [pairs.numbers(i, r["section"]), r["offset"], r["type"], _identities(i, r, ids)[r["symbol"]], r["addend"]]
            for i, r in sides
        ]

    @cached_property
    def _sorted(self) -> list[list[Array]]:
        orders = [sorting(*columns[::-1]) for columns in self._columns]
        return [[each[order] for each in columns] for columns, order in zip(self._columns, orders, strict=True)]

    @cached_property
    def differ(self) -> Array:
        """Whether the references of each pair differ, bool, shape (pairs,)."""
        found = np.zeros(len(self.pairs), bool)
        if all(np.array_equal(*each) for each in zip(*self._columns, strict=True)):
            return found  # usually even the order is the same
        counts = [np.bincount(columns[0], minlength=len(found)) for columns in self._sorted]
        found |= counts[0] != counts[1]
        before, after = ([each[~found[columns[0]]] for each in columns] for columns in self._sorted)
        unlike = np.any([one != other for one, other in zip(before, after, strict=True)], axis=0)
        found[before[0][unlike]] = True
        return found

    def of(self, pair: int) -> list[Array]:
        """The references of a pair in the draft and in the final image, sorted: rows (offset, type, number of the
        symbol, addend), shape (n, 4)."""
        found = []
        for number, *columns in self._sorted:
            low, high = np.searchsorted(number, (pair, pair + 1))
            found.append(np.stack([each[low:high] for each in columns], axis=1, dtype="i8", casting="unsafe"))
        return found

    def first(self, pair: int) -> int:
        """The offset of the first reference in which a pair differs."""
        rows = self.of(pair)
        common = min(map(len, rows))
        odd = np.flatnonzero((rows[0][:common] != rows[1][:common]).any(axis=1))
        row = int(odd[0]) if len(odd) else common
        return max(int(each[row, 0]) for each in rows if row < len(each))

    def referred(self, pair: int, at: int) -> list[str]:
        """What the references at an offset of a pair refer to, in the draft and in the final image."""
        texts = []
        for (image, rows), (number, *_) in zip(self._sides, self._columns, strict=True):
            found = rows[(number == pair) & (rows["offset"] == at)]
            named = [f"{image.name_of(int(row['symbol']))}{int(row['addend']):+#x}" for row in found]
            texts.append(" and ".join(named) or "none")
        return texts


def _identities(image: Image, rows: Array, ids: dict[object, int]) -> Array:
    """A number for each referenced symbol, shape (symbols,), equal in links that share `ids` if the symbol is the same:
    by name, and for a local one also by its place in its section."""
    numbers = np.zeros(len(image.symbols), "i8")
    numbers[rows["symbol"]] = 1
    used = np.flatnonzero(numbers)
    symbols = image.symbols[used]
    local = (symbols["bind"] == 0) & (symbols["type"] != STT_SECTION)
    local &= (symbols["section"] != SHN_UNDEF) & (symbols["section"] < SHN_LORESERVE)
    # section 0 has no name and address 0; the value of a thread-local symbol is already an offset
    thread, containing = symbols["type"] == STT_TLS, image.containing_sections[used]
    section = np.where(local & ~thread, containing, 0)
    offsets = np.where(local & (thread | (containing != 0)), symbols["value"] - image.addresses[section], 0)
    homes = map(image.sections.names.__getitem__, section.tolist())
    keys = zip(image.names_of(used), homes, offsets.tolist(), strict=True)
    numbers[used] = np.fromiter(map(ids.setdefault, keys, count(len(ids))), "i8", len(used))
    return numbers
