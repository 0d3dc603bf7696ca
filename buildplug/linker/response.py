"""Response files: how each linker takes one apart into words."""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from buildplug.base.process import capture
from buildplug.base.records import frozen

_PLAIN = re.compile(r"""[^'"\\ \t\n\v\f\r]+""")  # nothing to any linker but a part of a word
Asked = Callable[[str], bool]  # whether the linker finds --version in a response file with that text


@frozen
class Quoting:
    """How linkers take a response file apart into words, in which a quote may stay open."""

    asked: str  # a response file in which only these linkers find --version; empty: there is no other quoting left
    escapes: Mapping[str, re.Pattern[str]]  # by the quote around: a backslash, and in the group what it makes plain
    blanks: str = " \t\n\v\f\r"
    within: bool = True  # whether quotes count inside a word, too; else one begins it, and the next ends it

    def words(self, text: str) -> list[str]:
        words: list[str] = []
        word: str | None = None
        quote, at = "", 0
        while at < len(text):
            if plain := _PLAIN.match(text, at):  # as a whole: a word may be long, and a text millions of characters
                word, at = (word or "") + plain[0], plain.end()
                continue
            character = text[at]
            escape = self.escapes[quote].match(text, at) if character == "\\" else None
            at = escape.end() if escape else at + 1
            if escape:
                word = (word or "") + (escape[1] or "")
            elif not quote and character in ("'", '"') and (self.within or word is None):
                word, quote = word or "", character
            elif character == quote and self.within:
                quote = ""
            elif character == quote or (not quote and character in self.blanks):
                words += [] if word is None else [word]
                word, quote = None, ""
            else:
                word = (word or "") + character
        return words if word is None else [*words, word]


_ANY = dict.fromkeys(("", "'", '"'), re.compile(r"\\(.)", re.DOTALL))
_ANY_OR_END = dict.fromkeys(_ANY, re.compile(r"\\(.|\Z)", re.DOTALL))
_SHELL = {
    "": re.compile(r"\\(?:\n|(.|\Z))", re.DOTALL),
    "'": re.compile(r"(?!)"),
    '"': re.compile(r"\\(?:\n|([$`\"\\]|\Z))"),
}
# GNU ld's are libiberty's buildargv(), that of binutils 2.44 and of 2.40; lld's is LLVM's TokenizeGNUCommandLine().
QUOTINGS = (
    Quoting("'\\' --version '", _SHELL),
    Quoting("'--vers\\ion\\", _ANY_OR_END),
    Quoting("a'b --version c'd", _ANY, within=False),  # mold
    Quoting("", _ANY, blanks=" \t\n\r"),  # lld
)


def words(text: str, asked: Asked) -> list[str]:
    """The words of a response file. The linker is asked only if that makes a difference."""
    if not re.search(r"""['"\\\v\f]""", text):  # as nearly all are, and some are long
        return re.findall(r"[^ \t\n\r]+", text)
    readings = [quoting.words(text) for quoting in QUOTINGS]
    if all(reading == readings[0] for reading in readings):
        return readings[0]
    return next(words for words, q in zip(readings, QUOTINGS, strict=True) if not q.asked or asked(q.asked))


def text_of(words: list[str]) -> str:
    """The text of a response file with these words, for any linker."""
    return "".join(f'"{escaped}"\n' for escaped in (re.sub(r'(["\\])', r"\\\1", word) for word in words))


def finds_version(ld: str, env: Mapping[str, str], text: str) -> bool:
    """Whether the linker says its version if that is the text of a response file."""
    with tempfile.TemporaryDirectory() as folder:
        response = Path(folder, "words")
        response.write_text(text)
        return capture([ld, f"@{response}"], env).status == 0
