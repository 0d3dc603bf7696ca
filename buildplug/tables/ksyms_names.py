"""The names of a symbol table in their order: each shares its start with the one before, the rest is byte pairs.
Format: ksyms_format."""

import re
from functools import lru_cache

import numpy as np

from buildplug.image.headers import Array
from buildplug.native import loops
from buildplug.tables.ksyms_format import ALPHABET, LONGEST, NAMES, RARE, SAMPLE, SHARED, TOKENS

PIECE = 4096  # bytes, of the sample
WORD = 8  # bytes that are compared at a time
BYTES = np.uint64(1) << np.arange(8, 8 * WORD, 8, dtype="u8")  # the lowest bits of a word's bytes, but for the first


@lru_cache(maxsize=1)  # a draft, or what is expected of it, and the final image mostly have the same names
def encoded(names: bytes) -> tuple[Array, Array, bytes, bytes, int]:
    """Encodes sorted names, each with a zero byte behind it: the index, tokens' starts, stream, tokens' text, first
    code whose token ends a name."""
    flat = np.frombuffer(names, "u1")
    ends = np.flatnonzero(flat == 0)
    starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
    shared = loops.shared_starts(flat, starts, ends, SHARED)
    if shared is None:
        shared = _shared(flat, starts, ends)
    shared[::NAMES] = 0
    counts = np.column_stack((shared, ends + 1 - starts - shared))
    own = np.repeat(np.tile([False, True], len(ends)), counts.reshape(-1))
    codes, literal, tokens = _tokens(flat[own])
    endings = next(code for code in range(TOKENS + 1) if code == TOKENS or tokens[code].endswith(b"\0"))
    last, escapes = np.flatnonzero(codes >= endings), np.flatnonzero(codes == 0)
    first = np.append(0, last[:-1] + 1)[: len(last)]
    begins = first + np.arange(len(first)) + np.searchsorted(escapes, first)
    escaped = escapes + 1 + np.arange(len(escapes)) + np.searchsorted(first, escapes, "right")
    rest = np.ones(len(codes) + len(begins) + len(escaped), bool)
    rest[begins] = rest[escaped] = False
    stream = np.empty(len(rest), "u1")
    stream[rest], stream[begins], stream[escaped] = codes, shared, literal
    return begins[::NAMES], np.cumsum([0, *map(len, tokens)]), stream.tobytes(), b"".join(tokens), endings


def _shared(flat: Array, starts: Array, ends: Array) -> Array:
    """As loops.shared_starts(), of at most SHARED bytes."""
    words = np.ndarray((len(flat) + 1,), "<u8", np.append(flat, np.zeros(WORD, "u1")), strides=(1,))
    shared = np.zeros(len(ends), "i8")
    same = np.arange(1, len(ends))
    for length in range(0, SHARED, WORD):  # of all names at once, until all differ
        one, other = (words[np.minimum(starts[which] + length, len(flat))] for which in (same - 1, same))
        differs = one ^ other
        equal = differs == 0
        lowest = differs & (~differs + np.uint64(1))
        shared[same] += np.where(equal, WORD, np.searchsorted(BYTES, lowest, "right"))
        same = same[equal]
    most: Array = np.minimum(ends - starts, SHARED)
    return np.minimum(shared, most)


def _pairs(codes: Array) -> Array:
    return codes[:-1].astype("u2") << 8 | codes[1:]


def _tokens(text: Array) -> tuple[Array, Array, list[bytes]]:
    """Byte pair encoding of `text`, zero-terminated names: the codes, the literal byte after each code 0, and the
    tokens. Merges many pairs at a time, none of which can overlap.
    """
    count = np.bincount(text, minlength=256)
    count[0] += len(text) + 1  # sorts first: always has a token
    frequent = [int(byte) for byte in np.argsort(-count, kind="stable")[:ALPHABET] if count[byte] > len(text) // RARE]
    tokens = [b"", *(bytes([byte]) for byte in frequent)]
    code_of = np.zeros(256, "u1")
    code_of[frequent] = np.arange(1, len(tokens))
    codes = code_of[text]
    literal = text[codes == 0]
    step = -(-len(codes) // SAMPLE)
    firsts = range(0, len(codes), PIECE * max(step, 1))
    sample = np.concatenate([codes[first : first + PIECE] for first in firsts]) if step > 1 else codes
    while len(tokens) < TOKENS:
        found = np.bincount(_pairs(sample), minlength=1 << 16)
        table = found.reshape(256, 256)
        table[0] = table[:, 0] = 0
        table[[code for code, token in enumerate(tokens) if token.endswith(b"\0")]] = 0
        best = int(found.max())
        if best < 4:
            break
        likely = np.flatnonzero(found * 3 >= best)
        likely = likely[np.argsort(-found[likely], kind="stable")]
        merged = np.zeros(1 << 16, "u1")
        lefts: set[int] = set()
        rights: set[int] = set()
        for pair in likely.tolist():
            left, right = pair >> 8, pair & 255
            if len(tokens) < TOKENS and left not in rights and right not in lefts:
                lefts.add(left)
                rights.add(right)
                merged[pair] = len(tokens)
                tokens.append(tokens[left] + tokens[right])
        codes = _replaced(codes, merged)
        sample = _replaced(sample, merged) if step > 1 else codes
    final = [token for token in tokens if token.endswith(b"\0")]
    inner = [token for token in tokens if not token.endswith(b"\0")]
    ordered = inner + [b""] * (TOKENS - len(tokens)) + final
    place = {token: code for code, token in reversed([*enumerate(ordered)])}
    return np.array([place[token] for token in tokens], "u1")[codes], literal, ordered


def _replaced(codes: Array, merged: Array) -> Array:
    kept = loops.replace_pairs(codes, merged)
    return _merge(codes, merged) if kept is None else kept


def _merge(codes: Array, merged: Array) -> Array:
    """As loops.replace_pairs()."""
    new = merged.take(_pairs(codes))
    at = np.flatnonzero(new != 0)
    at = at[np.append(True, np.diff(at) > 1)] if len(at) else at
    codes = codes.copy()
    codes[at] = new[at]
    kept = np.ones(len(codes), bool)
    kept[at + 1] = False
    return codes[kept]


def decoded(stream: bytes, tokens: list[bytes], index: list[int], endings: int) -> list[bytes] | None:
    """All names, in order; None if not as encoded() makes them."""

    def one_of(codes: list[int]) -> bytes:
        return b"[%s]" % b"".join(b"\\x%02x" % code for code in codes) if codes else b"[^\\s\\S]"

    plain = one_of([code for code, token in enumerate(tokens[:endings]) if token])
    pattern = re.compile(b"([\\s\\S])((?:\\0[^\\0]|%s)*%s)" % (plain, one_of([*range(endings, TOKENS)])))
    names: list[bytes] = []
    starts: list[int] = []
    name, at = b"", 0
    for found in pattern.finditer(stream):
        shared, codes = found[1][0], iter(found[2])
        starts.extend([at] * (len(names) % NAMES == 0))
        if found.start() != at or shared > len(name) or (shared and len(names) % NAMES == 0):
            return None
        last, name = name, name[:shared] + b"".join([tokens[c] or bytes((next(codes),)) for c in codes])[:-1]
        if name < last or len(name) > LONGEST:
            return None
        names.append(name)
        at = found.end()
    return names if at == len(stream) and starts == index else None
