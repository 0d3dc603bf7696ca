"""The tokens of Linux's kallsyms, as learn_symbol() and optimize_token_table() of scripts/kallsyms.c choose them.

Each byte that occurs in a name is its own token. The other codes, from 255 down, each replace the most frequent pair
of codes so far; ties go to the lowest second, then first code.
"""

import numpy as np

from buildplug.image.headers import Array
from buildplug.native import loops

CODES = 256
PIECE = 1 << 17  # values that are counted together
BETWEEN, TAKEN = CODES, CODES + 1  # while merging: separates names; the freed half of a merged pair


def tokenized(text: Array) -> tuple[Array, list[bytes]]:
    """The codes of `text`, u2, which has BETWEEN before each name and at the end, and the tokens."""
    used = _counts(text, CODES + 1)[:CODES]
    codes, pairs = loops.merge_pairs(text, used > 0, BETWEEN) or _merged(text, used)
    tokens = [bytes([code]) if count else b"" for code, count in enumerate(used.tolist())]
    for code in np.flatnonzero(used == 0)[::-1].tolist():
        first, second = pairs[code].tolist()
        tokens[code] = tokens[first] + tokens[second]
    return codes, tokens


def _counts(values: Array, kinds: int) -> Array:
    """How many times there is each number below `kinds`. Some at a time: np.bincount() makes integers of 8 bytes of
    them, and for many, memory costs more than counting."""
    return sum(
        (np.bincount(values[at : at + PIECE], minlength=kinds) for at in range(0, len(values), PIECE)),
        np.zeros(kinds, "i8"),
    )


def _merged(text: Array, used: Array) -> tuple[Array, Array]:
    """As loops.merge_pairs(). `used`: how many times there is each code."""
    codes, merged = text.copy(), np.zeros((CODES, 2), "u1")
    after = np.arange(1, len(codes) + 1, dtype="i4")  # with `before`, a linked list of the remaining positions
    before = after - np.int32(2)
    places = np.split(np.argsort(codes, kind="stable"), np.cumsum(used))  # positions by code; may include stale ones

    def pairs(at: Array) -> Array:
        found: Array = codes.take(at) + codes.take(after.take(at)).astype("i8") * (CODES + 1)
        return found

    def holding(at: Array, code: int) -> Array:
        found: Array = at[codes.take(at) == code]
        return found

    every = codes[:-1] + codes[1:].astype("u4") * (CODES + 1)
    counts = _counts(every, (CODES + 1) ** 2)
    table = counts.reshape(CODES + 1, CODES + 1)
    for code in np.flatnonzero(used == 0)[::-1].tolist():
        table[BETWEEN] = table[:, BETWEEN] = 0
        best = int(counts.argmax())
        if not counts[best]:
            break
        second, first = divmod(best, CODES + 1)
        merged[code] = first, second
        if len(places[first]) <= len(places[second]):
            at = places[first] = holding(places[first], first)
            at = at[codes.take(after.take(at)) == second]
        else:
            at = places[second] = holding(places[second], second)
            at = holding(before.take(at), first)
        if first == second:  # every other one in a run
            starts = np.append(True, at[1:] != after[at[:-1]])
            number = np.arange(len(at))
            at = at[(number - np.maximum.accumulate(np.where(starts, number, 0))) % 2 == 0]
        left, right = before.take(at), after.take(at)
        left = left[np.append(True, left[1:] != right[:-1])]  # else counted twice
        np.subtract.at(counts, pairs(np.concatenate((left, at, right))), 1)
        codes[at], codes[right] = code, TAKEN
        after[at] = after.take(right)
        before[after.take(at)] = at
        np.add.at(counts, pairs(np.concatenate((left, at))), 1)
        places[code] = at
    return codes[codes != TAKEN], merged
