"""Matches names against many shell patterns at once."""

from collections.abc import Callable
from fnmatch import translate
from re import compile as pattern
from re import escape

SPECIAL = set("*?[")  # the special characters of fnmatch


def globs(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A predicate: whether a name matches one of the patterns.

    Most patterns are plain names or have stars only at their ends, where str's methods are much faster than a
    regular expression.
    """
    whole, heads, tails, inner, others = set[str](), list[str](), list[str](), list[str](), list[str]()
    for glob in patterns:
        first, last = glob[:1] == "*", glob[-1:] == "*" and len(glob) > 1
        core = glob[first : len(glob) - last]
        if SPECIAL & set(core):
            others.append(translate(glob))
        elif first:
            (inner if last else tails).append(core)
        else:
            heads.append(core) if last else whole.add(core)
    if "" in (*tails, *inner):
        return lambda name: True
    starts, ends, initials = tuple(heads), tuple(tails), {head[0] for head in heads}
    matches, has = pattern("|".join(others) or r"(?!)").match, pattern("|".join(map(escape, inner)) or r"(?!)").search
    return lambda name: (
        name in whole or (name[:1] in initials and name.startswith(starts)) or name.endswith(ends)
        or matches(name) or has(name)
    )  # fmt: skip
