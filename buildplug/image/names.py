"""Names in a string table, as arrays. A name becomes a Python object only where its text is asked for."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from buildplug.image.headers import FEW, Array, name_lengths, sorting, within
from buildplug.native import loops

STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, with bits all over, so that keys differ in all of theirs
WORD = 8
PIECE = 1 << 15  # names
SPARSE = 64  # bytes of a string table that are searched in the time of looking at a name
SEARCHED = 4  # names that are searched for in less time than it takes to make keys of all
ASKED = 10  # questions that take less time than sorting
WIDEST = 1 << 25  # bytes of names, padded to the longest, that are sorted as an array, which is faster
LEADING = np.array([(1 << 64) - (1 << 64 - 8 * used) for used in range(WORD + 1)], "u8")  # so many bytes of a word


def _key(name: bytes) -> np.uint64:
    """Names._keys of a name alone, in a tenth of the time."""
    length, step = min(len(name), WORD), int(STEP)
    first = int.from_bytes(name[:WORD], "little") << 8 * (WORD - max(length, 1))
    last = int.from_bytes(name[-WORD:], "little") * (length == WORD)
    return np.uint64(((first * step ^ last) * step ^ len(name)) % (1 << 64))


class Names:
    """The names that start at some offsets in a string table. Indices are those of `starts`."""

    def __init__(
        self, strings: bytes, starts: Array, lengths: Array | None = None,
        measure: Callable[[Array, Array], Array] = name_lengths,
    ):  # fmt: skip
        """`strings` ends with a zero byte, and no offset is outside of it. `lengths`: if they are known; else
        `measure(bytes, starts)` finds them when they are asked for."""
        self._strings, self._starts, self._measure = strings, starts.astype("i8", copy=False), measure
        if lengths is not None:
            self.lengths = lengths
        self._bytes = np.frombuffer(strings, np.uint8)
        self._asked = 0  # how many names

    @property
    def strings(self) -> Array:
        """The string table, u1."""
        return self._bytes

    @property
    def starts(self) -> Array:
        return self._starts

    def __len__(self) -> int:
        return len(self._starts)

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "Names":
        """Names by their texts, without zero bytes."""
        lengths = np.fromiter(map(len, texts), "i8", len(texts))
        return cls(b"\0".join([*texts, b""]), np.cumsum(lengths + 1) - lengths - 1, lengths)

    @classmethod
    def joining(cls, parts: Sequence["Names"]) -> "Names":
        """The names of several, one after the other."""
        sizes = [len(part._strings) for part in parts]
        starts = [part._starts + before for part, before in zip(parts, np.cumsum([0, *sizes]).tolist(), strict=False)]
        strings = b"".join(part._strings for part in parts)
        return cls(strings, np.concatenate(starts), np.concatenate([part.lengths for part in parts]))

    def chosen(self, at: Array) -> "Names":
        """Those with the indices `at`."""
        return Names(self._strings, self._starts[at], self.lengths[at])

    @cached_property
    def lengths(self) -> Array:
        """In bytes, shape (n,)."""
        return self._measure(self._bytes, self._starts)

    def _lengths_of(self, chosen: Array) -> Array:
        """The lengths of the names with these indices; those of all take longer to find than of some."""
        if "lengths" in self.__dict__ or len(chosen) > ASKED:
            return self.lengths[chosen]
        starts = self._starts[chosen].tolist()
        return np.array([self._strings.index(b"\0", start) - start for start in starts], "i8")

    def texts(self, chosen: Array | None = None) -> list[bytes]:
        """The names with these indices, or all."""
        return [text for piece in self._pieces(chosen) for text in piece.split(b"\0")]

    def decoded(self, chosen: Array | None = None) -> list[str]:
        """texts() as str; bytes that are not UTF-8 are escaped."""
        return [text for piece in self._pieces(chosen) for text in piece.decode(errors="backslashreplace").split("\0")]

    def joined(self, chosen: Array | None = None) -> bytes:
        """texts() in one, each with a zero byte behind it."""
        some = self if chosen is None else self.chosen(chosen)
        quickly = loops.join_names(some.strings, some.starts, some.lengths)
        if quickly is not None:
            return quickly
        return b"".join([part for piece in self._pieces(chosen) for part in (piece, b"\0")])

    @cached_property
    def order(self) -> Array:
        """The indices in the order of the names' bytes; equal names as they stand. u4, shape (n,)."""
        quickly = loops.sort_names(self._bytes, self._starts, self.lengths)
        return self._sorted() if quickly is None else quickly

    def _sorted(self) -> Array:
        """As loops.sort_names()."""
        if int(self.lengths.max(initial=0)) * len(self) > WIDEST:  # a few long names
            texts = self.texts()
            return np.array(sorted(range(len(self)), key=texts.__getitem__), "u4")
        words, last = self._words[WORD:], len(self._bytes)

        def spelled(at: Array, first: int) -> Array:
            """The word of each name from a byte on, as a number that orders as its bytes do; zero past its end."""
            found = words[np.minimum(self._starts[at] + first, last)].byteswap()
            masked: Array = found & LEADING.take(self.lengths[at] - first, mode="clip")
            return masked

        key, first = spelled(np.arange(len(self)), 0), 0
        order, other = np.argsort(key), np.ones(len(self), bool)
        other[1:] = np.diff(key[order]) != 0  # than the one before, as far as they are sorted
        while not other.all():  # those that start with the same words, by the next one
            first += WORD
            tied = np.flatnonzero(~other | ~np.append(other[1:], True))
            some, group = order[tied], np.cumsum(other)[tied]
            if int(self.lengths[some].max()) <= first:
                order[tied] = some[np.lexsort((some, group))]
                break
            key = spelled(some, first)
            by = np.lexsort((key, group))
            order[tied] = some[by]
            other[tied[1:]] |= np.diff(key[by]) != 0
        return order.astype("u4")

    @cached_property
    def ranks(self) -> Array:
        """How many different names there are up to each one, in the order of their bytes. i8, shape (n,)."""
        keys, first = self._keys[self.order], np.ones(len(self), bool)
        near = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        pairs = zip(self.texts(self.order[near - 1]), self.texts(self.order[near]), strict=True)
        first[near] = [one != other for one, other in pairs]
        ranks = np.empty(len(self), "i8")
        ranks[self.order] = np.cumsum(first)
        return ranks

    def _pieces(self, chosen: Array | None) -> Iterator[bytes]:
        """The texts with zero bytes between them, some thousands at a time, as their indices take much memory."""
        count = len(self) if chosen is None else len(chosen)
        for first in range(0, count, PIECE):
            last = min(first + PIECE, count)
            some = np.arange(first, last) if chosen is None else chosen[first:last]
            starts, sizes = self._starts[some], self._lengths_of(some) + 1  # with the zero byte
            ends = np.cumsum(sizes)
            at = np.arange(int(ends[-1])) + np.repeat(starts - ends + sizes, sizes)
            yield self._bytes[at[:-1]].tobytes()

    def prefixed(self, prefix: bytes) -> Array:
        """The indices of the names that start with a prefix, which may have the zero byte behind them, too."""
        if len(prefix) < 2:
            at, known = np.arange(len(self)), 0
        else:
            at, known = np.flatnonzero(self._heads == int.from_bytes(prefix[:2], "little")), 2
        for place, byte in enumerate(prefix[known:], known):
            # past the end: the final zero byte, which a prefix has only at its own end
            at = at[self._bytes[np.minimum(self._starts[at] + place, len(self._bytes) - 1)] == byte]
        return at

    def holds(self, text: bytes) -> bool:
        """Whether a text is anywhere in the string table: if not, no name has it."""
        return text in self._strings

    @property
    def _dense(self) -> bool:
        """Whether to search the string table takes less time than to look at the names in it."""
        return len(self) * SPARSE > len(self._strings)

    def _searched_for(self, text: bytes) -> Array | None:
        """The indices of the names that start where a text is in the string table; None if it is at more than FEW
        places."""
        places, at = list[int](), self._strings.find(text)
        while at >= 0:
            places.append(at)
            if len(places) > FEW:
                return None
            at = self._strings.find(text, at + 1)
        return np.flatnonzero(within(self._starts, np.array(places, "i8")))

    @cached_property
    def _heads(self) -> Array:
        """The first two bytes of each name, with the zero byte; past the end: zero. u2, shape (n,)."""
        every = np.ndarray(len(self._bytes), "<u2", self._strings + b"\0", strides=(1,))
        heads: Array = every[self._starts]
        return heads

    def suffixed(self, suffix: bytes) -> Array:
        """The indices of the names that end with a suffix."""
        if self._dense and suffix + b"\0" not in self._strings:
            return np.zeros(0, "i8")
        at = np.flatnonzero(self.lengths >= len(suffix))
        ends = self._starts + self.lengths
        for place, byte in enumerate(reversed(suffix)):
            at = at[self._bytes[ends[at] - 1 - place] == byte]
        return at

    def leading(self, byte: bytes) -> Array:
        """How many times each name has a byte, not zero, at its start. Shape (n,)."""
        counts, at = np.zeros(len(self), "i8"), np.arange(len(self))
        while len(at := at[self._bytes[self._starts[at] + counts[at]] == byte[0]]):
            counts[at] += 1
        return counts

    @property
    def _words(self) -> Array:
        """The little-endian word from every byte on of the string table with a word of zeros before and behind it."""
        padded = np.concatenate([np.zeros(WORD, np.uint8), self._bytes, np.zeros(WORD, np.uint8)])
        return np.ndarray((len(padded) - WORD + 1,), "<u8", padded, strides=(1,))

    @cached_property
    def _keys(self) -> Array:
        """A number for each name, made of its length, first, and last bytes: equal for equal names. Shape (n,)."""
        words = self._words
        lengths = np.minimum(self.lengths, WORD).astype("u8")
        unused = np.uint64(8) * (np.uint64(WORD) - np.maximum(lengths, np.uint64(1)))
        first = np.where(lengths > 0, words[self._starts + WORD] << unused, 0)
        last = np.where(lengths == WORD, words[self._starts + self.lengths], 0)
        mixed: Array = (first * STEP ^ last) * STEP ^ self.lengths.astype("u8")
        return mixed

    @cached_property
    def _by_key(self) -> tuple[Array, Array]:
        order = sorting(self._keys)
        return order, self._keys[order]

    @property
    def repeated(self) -> Array:
        """The indices, ascending, of all names that equal another, and of hardly any that do not."""
        order, keys = self._by_key
        same = keys[1:] == keys[:-1]
        found: Array = np.sort(order[(np.append(same, False) | np.append(False, same))[: len(order)]])
        return found

    def equal(self, name: bytes) -> Array:
        """The indices of the names that equal `name`, ascending. Sorts all names once many have been asked for."""
        if b"\0" in name:
            return np.zeros(0, "i8")
        self._asked += 1
        if self._asked <= ASKED:
            few = self._searched_for(name + b"\0")
            return self.prefixed(name + b"\0") if few is None else few
        order, keys = self._by_key
        key = _key(name)
        near = order[np.searchsorted(keys, key) : np.searchsorted(keys, key, "right")]
        found: Array = near[[text == name for text in self.texts(near)]] if len(near) else near
        return found

    def among(self, texts: Sequence[bytes]) -> Array:
        """Whether each name is one of these, bool, shape (n,)."""
        wanted = {text for text in texts if b"\0" not in text}
        if self._dense and len(wanted) <= SEARCHED and "_keys" not in self.__dict__:
            found = np.zeros(len(self), bool)
            for text in wanted:
                found[self.equal(text)] = True
            return found
        found = within(self._keys, Names.of(list(wanted))._keys)
        at = np.flatnonzero(found)
        found[at] = [text in wanted for text in self.texts(at)]
        return found

    @cached_property
    def ascii(self) -> Array:
        """Whether each name is of ASCII only: its bytes are its characters. Shape (n,)."""
        if self._strings.isascii():
            return np.ones(len(self), bool)
        other = np.append(0, np.cumsum(self._bytes > 0x7F, dtype="u4"))
        found: Array = other[self._starts] == other[self._starts + self.lengths]
        return found
