"""Shell patterns, matched with all names of a string table at once."""

import re
from collections.abc import Sequence

import numpy as np

from buildplug.base.globs import SPECIAL, globs
from buildplug.image.headers import Array
from buildplug.image.names import Names


def matching(names: Names, patterns: Sequence[str]) -> Array:
    """Whether each name matches one of the shell patterns, bool, shape (n,). Bytes that are not UTF-8 are matched
    by their escapes, such as \\x80."""
    plain = [glob for glob in patterns if glob.isascii()]
    if "*" in plain or not len(names):
        return np.ones(len(names), bool)
    found = names.among([glob.encode() for glob in plain if not SPECIAL & set(glob)])
    joined = []
    for glob in plain:
        head, _, tail = glob.partition("*")
        if "[" in glob:
            at = names.prefixed(re.split(r"[*?[]", glob, maxsplit=1)[0].encode())
            found[at] |= _tried(names, (glob,), at)
        elif glob == f"{head}*" and "?" not in glob:
            found[names.prefixed(head.encode())] = True
        elif glob == f"*{tail}" and not SPECIAL & set(tail):
            found[names.suffixed(tail.encode())] = True
        elif SPECIAL & set(glob) and names.holds(_longest(glob)):
            near = names.prefixed(re.split(r"[*?]", glob, maxsplit=1)[0].encode())  # all, without a start
            if 0 < len(near) < len(names):
                found[near] |= _searched(names.chosen(near), [glob])
            elif len(near):
                joined.append(glob)
    found |= _searched(names, joined) if joined else False
    at = np.flatnonzero(~names.ascii)
    found[at] = _tried(names, tuple(patterns), at)
    return found


def _tried(names: Names, patterns: tuple[str, ...], at: Array) -> Array:
    """matching(), name by name, for those with the indices `at`; of all that is not simple."""
    if not len(at):  # as nearly always: compiling the patterns takes longer than all else here
        return np.zeros(0, bool)
    matches = globs(patterns)
    return np.array([bool(matches(text.decode(errors="backslashreplace"))) for text in names.texts(at)], bool)


def _longest(glob: str) -> bytes:
    """The longest text of a pattern with `*` and `?`, which a name has that matches it."""
    return max(re.split(r"[*?]", glob), key=len).encode()


def _searched(names: Names, patterns: Sequence[str]) -> Array:
    """matching() of patterns with `*` and `?` only, by one regular expression over the text of all names."""
    whole = b"\0" + names.joined()
    wild = {"*": b"[^\0]*", "?": b"[^\0]"}
    split = [re.split(r"([*?])", glob) for glob in patterns]
    parts = [b"".join([wild.get(part) or re.escape(part.encode()) for part in glob]) for glob in split]
    places = re.finditer(b"\0(?=(?:%s)\0)" % b"|".join(parts), whole)
    at = np.fromiter(map(re.Match.start, places), "i8")
    starts = np.cumsum(names.lengths + 1) - names.lengths - 1
    found = np.zeros(len(names), bool)
    found[np.searchsorted(starts, at)] = True
    return found
