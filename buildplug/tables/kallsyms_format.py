"""Encodes and decodes kallsyms of Linux 6.1 to 7.3. See kernel/kallsyms.c there.

Symbols are sorted by address, at equal addresses the most meaningful first. *offsets* holds their addresses. With
KALLSYMS_ABSOLUTE_PERCPU, which is of x86_64, absolute and per-CPU symbols are unchanged, and any other address a is
-1 - (a - relative_base), negative. Without it, an address is a - relative_base, unsigned. Since 7.2 it is, on every
64-bit architecture, the distance from the offset's own place, signed. *names* holds per symbol a length, one or two
bytes of LEB128, and as many codes, each a token number; the tokens' text is the letter of the symbol's type and its
name. *token_table* holds the zero-terminated tokens, *token_index* their offsets in it, *markers* the offset of every
256th name. *seqs_of_names* holds the symbols' numbers in the order of names, three bytes each, big-endian.

The tokens are those of kallsyms_tokens: the bytes therefore equal those of scripts/kallsyms.
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import lru_cache

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.image.headers import Array, sorting
from buildplug.image.names import Names
from buildplug.tables.kallsyms_tokens import BETWEEN, CODES, tokenized

PERCPU, UNSIGNED, PC_RELATIVE = "absolute-percpu", "unsigned", "pc-relative"  # what offsets hold
LONGEST = 511  # KSYM_NAME_LEN - 1
MARKER = 256  # names per marker
OFFSET = np.uint64(4)  # bytes


@frozen
class Kallsyms:
    """Linux's tables by their names there, little-endian."""

    offsets: Array  # i4; u4 if they are unsigned
    relative_base: int  # of pc-relative offsets: the address of the first
    names: bytes
    markers: Array  # u4
    seqs_of_names: bytes
    token_table: bytes
    token_index: Array  # u2
    order: Array = field(default_factory=lambda: np.zeros(0, "i8"))  # indices into the given symbols; not in the tables
    held: str = PERCPU  # what offsets hold; not in the tables


@frozen
class Symbols:
    """The decoded symbols, in the order of the tables."""

    addresses: Array  # u8
    types: bytes  # nm's letters; A for per-CPU symbols
    names: tuple[bytes, ...]
    seqs: Array  # symbol numbers in the order of names


def encode(
    addresses: Array, types: Array, names: Names, where: object, held: str = PERCPU, place: int | None = None
) -> Kallsyms:
    """The tables of unsorted symbols: addresses (u8), nm's letters (u1) and names. Symbols of equal address and name
    keep their order. `where` is for messages; `held` says what offsets hold; `place` is their address, the lowest of a
    symbol by default.

    Raises BuildplugError for a symbol that the tables cannot hold.
    """

    def bad(wrong: Array, expected: str, found: Callable[[int], str]) -> None:
        if wrong.any():
            i = int(np.argmax(wrong))
            shown = names.texts(np.array([i]))[0][:80].decode(errors="backslashreplace")
            problem = f"symbol {shown}: expected {expected}, found {found(i)}"
            raise BuildplugError(where, problem, "exclude it in the rule")

    def address(i: int) -> str:
        return f"{addresses[i]:#x}"

    bad(names.lengths > LONGEST, f"a name of at most {LONGEST} bytes", lambda i: str(names.lengths[i]))
    if len(names) >> 24:
        raise BuildplugError(where, f"expected less than {1 << 24} symbols, found {len(names)}", "exclude some")
    if held == PERCPU:
        types = np.where(_percpu(addresses, names), ord("A"), types).astype("u1")
    name, order = _orders(addresses, types, names.joined())
    seqs = sorting(name[order])
    absolute = (types & ~np.uint8(32) == ord("A")) & (held == PERCPU)
    moving = order[~absolute[order]]
    base = int(addresses[moving[0]]) if len(moving) else 0
    bad(absolute & (addresses >> np.uint64(31) > 0), "an absolute address below 2 GiB", address)
    if held == PC_RELATIVE:
        base = base if place is None else place
        own = np.empty(len(order), "u8")  # the address of each symbol's offset
        own[order] = np.uint64(base) + OFFSET * np.arange(len(order), dtype="u8")
        distances = (addresses - own).astype("i8")
        bad(distances != distances.astype("i4"), f"an address less than 2 GiB from the table at {base:#x}", address)
        offsets = distances.astype("<i4")
    else:
        bits = 31 if held == PERCPU else 32
        beyond = ~absolute & (addresses - np.uint64(base) >> np.uint64(bits) > 0)
        bad(beyond, f"an address below {base + (1 << bits):#x}", address)
        offsets = (addresses - np.uint64(base)).astype("<u4")
        if held == PERCPU:
            offsets = np.where(absolute, addresses.astype("<u4"), ~offsets).view("<i4")
    stream, markers, tokens = _names(types, names, name, order)
    return Kallsyms(
        offsets[order], base, stream, markers, seqs.astype(">u4").view("u1").reshape(-1, 4)[:, 1:].tobytes(),
        b"".join(token + b"\0" for token in tokens),
        np.cumsum([0, *(len(token) + 1 for token in tokens[:-1])]).astype("<u2"), order, held,
    )  # fmt: skip


def _percpu(addresses: Array, names: Names) -> Array:
    """The mask of symbols from __per_cpu_start to __per_cpu_end, inclusive."""
    bounds = [names.equal(bound)[:1] for bound in (b"__per_cpu_start", b"__per_cpu_end")]
    if not all(map(len, bounds)):
        return np.zeros(len(names), bool)
    start, end = (addresses[bound] for bound in bounds)
    inside: Array = (addresses >= start) & (addresses <= end)
    return inside


def _orders(addresses: Array, types: Array, joined: bytes) -> tuple[Array, Array]:
    """The rank of each symbol's name, and the symbols in the order of the tables. `joined`: the names, each with a zero
    byte behind it."""
    name, underscores, assigned = _ranks(joined)
    weak = (types == ord("w")) | (types == ord("W"))
    return name, sorting(name, underscores, assigned, weak, addresses)


@lru_cache(maxsize=1)  # the draft and the final image mostly have the same names
def _ranks(joined: bytes) -> tuple[Array, Array, Array]:
    """For each name: its rank, its number of leading underscores, whether a linker script assigned it."""
    ends = np.flatnonzero(np.frombuffer(joined, "u1") == 0)
    starts = np.append(0, ends + 1)[: len(ends)]
    table = Names(joined, starts, ends - starts)
    return table.ranks, table.leading(b"_"), _assigned(table)


def _assigned(names: Names) -> Array:
    """Whether each name looks like a bound assigned by a linker script."""
    double, bound = np.zeros((2, len(names)), bool)
    double[names.prefixed(b"__")] = True
    for found in (
        *map(names.prefixed, (b"__start_", b"__stop_", b"__end_")),
        *map(names.suffixed, (b"_start", b"_end")),
    ):
        bound[found] = True
    return double & bound & (names.lengths >= 8)


def _names(types: Array, names: Names, name: Array, order: Array) -> tuple[bytes, Array, list[bytes]]:
    """The encoded names in the order of the tables, the markers and the tokens. `name`: the rank of each name."""
    same = sorting(types, name)  # an order that depends on names and letters alone
    codes, starts, tokens = _entries(types[same].tobytes(), names.joined(same))
    number = np.empty(len(same), "i8")
    number[same] = np.arange(len(same))
    number = number[order]
    sizes = np.diff(starts)[number]
    at = np.cumsum(sizes) - sizes
    stream = codes[np.repeat(starts[number] - at, sizes) + np.arange(len(codes))]
    return stream.tobytes(), at[::MARKER].astype("<u4"), tokens


@lru_cache(maxsize=1)  # a forecast, the draft and the final image mostly have the same symbols at other addresses
def _entries(types: bytes, joined: bytes) -> tuple[Array, Array, list[bytes]]:
    """The encoded names with their lengths (u1), where each starts and the last ends, and the tokens. What a name is
    encoded as does not depend on the order of names. `joined`: the names, each with a zero byte behind it."""
    flat = np.frombuffer(joined, "u1").astype("u2")
    ends = np.flatnonzero(flat == 0)
    flat[ends] = BETWEEN
    before = np.append(BETWEEN, flat).astype("u2")
    codes, tokens = tokenized(np.insert(before, np.append(1, ends + 2)[: len(ends)], np.frombuffer(types, "u1")))
    at = np.flatnonzero(codes == BETWEEN)
    lengths = np.diff(at) - 1
    first, long = at[:-1], lengths > 127
    codes[first] = lengths & 127 | long << 7
    stream = np.insert(codes[:-1], first[long] + 1, lengths[long] >> 7).astype("u1")
    return stream, at + np.cumsum(np.append(0, long)), tokens


def entries(tables: Kallsyms, where: object) -> list[bytes]:
    """The encoded names, including their lengths, in the order of symbols. Raises BuildplugError."""
    found: list[bytes] = []
    at, stream = 0, tables.names
    for _ in tables.offsets:
        end = at + 1 + stream[at] if at < len(stream) and stream[at] < 128 else None
        if end is None and at + 1 < len(stream):
            end = at + 2 + (stream[at] & 127 | stream[at + 1] << 7)
        if end is None or end > len(stream):
            raise _bad(where, f"names that end behind {len(found)} symbols")
        found.append(stream[at:end])
        at = end
    return found


def texts(tables: Kallsyms, listed: Sequence[bytes], where: object) -> list[bytes]:
    """The letter and name of each of the `entries`. Raises BuildplugError."""
    starts, text = tables.token_index.tolist(), tables.token_table
    ends = [text.find(b"\0", start) for start in starts]
    if len(starts) != CODES or min(ends) < 0:
        raise _bad(where, "tokens that do not end")
    tokens = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    named = [b"".join([tokens[code] for code in entry[1 + (entry[0] > 127) :]]) for entry in listed]
    if not all(named):
        raise _bad(where, f"no type of symbol {named.index(b'')}")
    return named


def decode(tables: Kallsyms, where: object) -> Symbols:
    """The symbols as Linux reads them; bytes after the tables are ignored. Raises BuildplugError if malformed."""
    listed = entries(tables, where)
    named = texts(tables, listed, where)
    marked = np.cumsum([0, *map(len, listed)])[:-1][::MARKER]
    if not np.array_equal(marked, tables.markers[: len(marked)]):
        raise _bad(where, "markers that are not where names start")
    digits = np.frombuffer(tables.seqs_of_names[: 3 * len(named)].ljust(3 * len(named), b"\0"), "u1")
    seqs = digits.reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1])
    if not np.array_equal(np.sort(seqs), np.arange(len(named))):
        raise _bad(where, "an order of names that is no permutation")
    offsets, base = tables.offsets.astype("i8"), np.uint64(tables.relative_base)
    if tables.held == PERCPU:
        addresses = np.where(offsets < 0, (~offsets).astype("u8") + base, offsets.astype("u8"))
    else:
        addresses = offsets.astype("u8") + base
        addresses += OFFSET * np.arange(len(offsets), dtype="u8") if tables.held == PC_RELATIVE else np.uint64(0)
    return Symbols(addresses, bytes(name[0] for name in named), tuple(name[1:] for name in named), seqs)


def _bad(where: object, found: str) -> BuildplugError:
    return BuildplugError(where, f"expected kallsyms tables, found {found}", "build the image again")
