"""Readable names of C++ and Rust without what makes them long: the arguments of generics, lists of parameters.

What is trimmed becomes `...` between its brackets. In Rust, `<T as Trait>::f` and `<impl Trait for T>` say whose
function it is: they stay, only arguments inside them go. A name whose brackets do not match stays as it is.
"""

import re
from collections.abc import Sequence

OPENING = {b">": b"<", b")": b"("}

# Brackets, and what holds some that need not match: a comparison, whose operands c++filt has in parentheses, an arrow,
# a character, a string. A list follows a name, an operator's included; in Rust also ::, unless it is <impl T>.
TOKEN = re.compile(
    rb"""
    (?<=\)) < [<=>]* (?=\() | -> | '(?: \\[^']+ | [^'\\] )' | "(?: \\. | [^"\\] )*"
    | (?: (?<![\w$.\x80-\xff]) operator (?: \(\) | \[\] | ->\*? | <=> | <<=? | >>=? | [-+*/%^&|!=<>]=
                                          | && | \|\| | \+\+ | -- | [-+*/%^&|~!=<>,] )\ ?
        | (?<= [\w$.\x80-\xff}\])>] ) | (?<=::) (?=<) (?!<impl\ ) ) (?P<list>[<(])
    | (?P<bracket>[<>()])
    """,
    re.VERBOSE | re.DOTALL,
)


def trimmed(names: Sequence[bytes], brackets: bytes) -> list[bytes]:
    """The names without the lists in these brackets, whose opening ones are given."""
    return [_trimmed(name, brackets) if b"<" in name or b"(" in name else name for name in names]


def _trimmed(name: bytes, brackets: bytes) -> bytes:
    kept: list[bytes] = []
    opened: list[bytes] = []
    start, outer = 0, -1  # of what is kept next; how many brackets are open around what is not kept
    for token in TOKEN.finditer(name):
        bracket, end = token["list"] or token["bracket"] or b"", token.end()
        if bracket in (b"<", b"("):
            own = bracket == b"<" or b"<" not in opened  # parameters of the function, not of an argument
            if token["list"] and bracket in brackets and own and outer < 0 and name[end : end + 1] not in b">)":
                kept += name[start:end], b"..."
                outer = len(opened)
            opened.append(bracket)
        elif opened and opened[-1] == OPENING.get(bracket):
            opened.pop()
            if len(opened) == outer:
                start, outer = token.start(), -1
        elif bracket == b")" or (bracket and not opened):  # within parentheses > is a comparison
            return name
    return name if opened else b"".join([*kept, name[start:]])
