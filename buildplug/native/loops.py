"""The loops of loops.h on numpy arrays. Each returns None where it is not compiled; its caller then does the same with
numpy, and tests/native/ compares the two."""

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

VERSION = 3  # of the functions, as loops.h has it: what lies there may be of another source
PURE = "BUILDPLUG_PURE"  # in the environment: as if nothing were compiled
RELA = np.dtype([("offset", "u8"), ("info", "u8"), ("addend", "i8")])
RELATIVE, UNKNOWN = 64, 63  # of a kind of field: see find_doubtful()
COMPILED = Path(__file__).with_name("libloops.so")


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled loops; None without."""
    if os.environ.get(PURE):
        return None
    try:
        found = ctypes.CDLL(str(COMPILED))
        return found if found.loops_version() == VERSION else None
    except (OSError, AttributeError):  # none, or none for this machine
        return None


def _called(name: str, *arguments: Array | int) -> int | None:
    """What a loop returns, given the addresses of arrays and numbers; None without it."""
    loops = library()
    if loops is None:
        return None
    function = getattr(loops, name)
    function.restype = ctypes.c_int64
    done: int = function(
        *(ctypes.c_uint64(each) if isinstance(each, int) else ctypes.c_void_p(each.ctypes.data) for each in arguments)
    )
    return done


def _as(kind: str, values: Array) -> Array:
    """Values as C has them."""
    return np.require(values, kind, ["C", "A"])


def name_lengths(strings: Array, starts: Array, most: int) -> Array | None:
    """The length of the name at each offset in a string table (u1). None, too, if they are longer than `most` together,
    or if one does not end with a zero byte."""
    if not len(strings) or strings[-1] or int(starts.max(initial=0)) >= len(strings):
        return None
    lengths = np.empty(len(starts), "i8")
    done = _called("name_lengths", _as("u1", strings), _as("i8", starts), len(starts), most, lengths)
    return lengths if done == 0 else None


def join_names(strings: Array, starts: Array, lengths: Array) -> bytes | None:
    """The names at these offsets in a string table (u1), of these lengths, each with a zero byte behind it."""
    joined = np.empty(int(lengths.sum()) + len(lengths), "u1")
    done = _called("join_names", _as("u1", strings), _as("i8", starts), _as("i8", lengths), len(starts), joined)
    return None if done is None else joined.tobytes()


def list_symbols(
    addresses: Array, letters: Array, strings: Array, starts: Array, lengths: Array, digits: int
) -> bytes | None:
    """A line for each symbol: its address in so many hexadecimal digits, letter and name; names as join_names() has
    them."""
    lines = np.empty((digits + 4) * len(starts) + int(lengths.sum()), "u1")
    given = _as("u8", addresses), _as("u1", letters), _as("u1", strings), _as("i8", starts), _as("i8", lengths)
    return None if _called("list_symbols", *given, len(starts), digits, lines) is None else lines.tobytes()


def sort_numbers(values: Array) -> Array | None:
    """The indices, u4, of unsigned numbers in ascending order; equal ones as they stand."""
    count = len(values)
    keys, order = np.empty(2 * count, "u8"), np.empty(2 * count, "u4")
    keys[:count] = values
    return None if _called("sort_numbers", count, keys, order) is None else order[:count]


def sort_names(strings: Array, starts: Array, lengths: Array) -> Array | None:
    """The indices, u4, of the names at these offsets in a string table (u1), of these lengths, in the order of their
    bytes; equal names as they stand. No name has a zero byte."""
    count = len(starts)
    keys, order, runs = np.empty(2 * count, "u8"), np.empty(2 * count, "u4"), np.empty(2 * (count + 2), "u4")
    given = _as("u1", strings), _as("i8", starts), _as("i8", lengths)
    return None if _called("sort_names", *given, count, keys, order, runs) is None else order[:count]


def find_referring(relocations: Array, wanted: Array, values: Array, near: tuple[int, int, Array]) -> Array | None:
    """The indices, u4, of the Elf64_Rela records, of this machine's byte order, that have a type, refer to a symbol of
    a mask, and, with the value of that and their addend, to a page near something: `near` has the address of the first
    page, the logarithm of their size, and whether each is wanted. None, too, if one refers to a symbol outside of the
    mask, or if they are other records."""
    if relocations.dtype != RELA or not relocations.flags.c_contiguous:
        return None
    found, (low, shift, pages) = np.empty(len(relocations), "u4"), near
    given = relocations, len(relocations), _as("u1", wanted), _as("u8", values), len(wanted)
    count = _called("find_referring", *given, low, shift, _as("u1", pages), len(pages), found)
    return None if count is None or count < 0 else found[:count].copy()


def find_doubtful(
    relocations: Array, sure: Array, values: Array, kinds: Array, content: Array, address: int
) -> Array | None:
    """The indices, u4, of the Elf64_Rela records of a section that do not lie in it, or whose field does not hold what
    they say. Skips those of symbols that are not `sure`, and of types whose kind is 0. `kinds`: u1, by type, the bytes
    of the field, a whole number in this machine's byte order, and RELATIVE if it holds the distance from its own
    address; UNKNOWN for other fields, of which all are doubtful. None, too, as of find_referring()."""
    if relocations.dtype != RELA or not relocations.flags.c_contiguous or sys.byteorder != "little":
        return None
    found = np.empty(len(relocations), "u4")
    given = relocations, len(relocations), _as("u1", sure), _as("u8", values), len(sure), _as("u1", kinds), len(kinds)
    count = _called("find_doubtful", *given, _as("u1", content), len(content), address, found)
    return None if count is None or count < 0 else found[:count].copy()


def find_instructions(code: Array, functions: Array, places: Array) -> Array | None:
    """Where the x86_64 instruction that contains each offset in `code` (u1) begins and ends, and where its immediate
    begins, i8, shape (n, 3); `functions`: the offset of each one's function. -1 for an immediate that there is not, and
    for all three if the instructions before are not all known here."""
    found = np.empty((len(places), 3), "i8")
    given = _as("u1", code), len(code), _as("i8", functions), _as("i8", places), len(places)
    return None if _called("find_instructions", *given, found) is None else found


def shared_starts(names: Array, starts: Array, ends: Array, most: int) -> Array | None:
    """How many bytes, at most `most`, each name in `names` (u1) from a start to its end, where a zero byte is, shares
    with the start of the one before; 0 for the first."""
    shared = np.zeros(len(starts), "i8")
    done = _called("shared_starts", _as("u1", names), _as("i8", starts), _as("i8", ends), len(starts), most, shared)
    return None if done is None else shared


def replace_pairs(codes: Array, merged: Array) -> Array | None:
    """Codes (u1) with each pair by its code in `merged` (u1, shape (65536,), by first << 8 | second), if that is not 0;
    of pairs that overlap, only the first."""
    kept = np.empty(len(codes), "u1")
    count = _called("replace_pairs", _as("u1", codes), len(codes), _as("u1", merged), kept)
    return None if count is None else kept[:count]


def merge_pairs(text: Array, used: Array, between: int) -> tuple[Array, Array] | None:
    """Byte pair encoding: each code that is not in use, from 255 down, replaces the most frequent pair of codes so far;
    ties go to the lowest second, then first one. `text`: u2, codes and the number `between` around each name; `used`:
    whether each code is in use. Returns the codes, with `between` as before, and the pair of each new code, u1, shape
    (256, 2), zeros where no pair was left."""
    codes, pairs = text.astype("u2"), np.zeros((256, 2), "u1")  # a copy
    places, counts = np.empty(2 * len(codes), "u4"), np.zeros((256, 256), "i4")
    kept = _called("merge_pairs", codes, len(codes), _as("u1", used), pairs, counts, places, between)
    return None if kept is None else (codes[:kept], pairs)
