"""A linker's command line: only what must be known to tell a final link from others, and to make it twice.

The syntax is that of GNU ld, lld and mold: a long option has one dash or two, and its value behind `=` or in the next
word; a short one its value in the same word or in the next.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SHORT = frozenset("ACFGILPRTYabcefhlmouyz")  # take a value
_LONG = """
    Map Tbss Tdata Ttext Ttext-segment Trodata-segment Tldata-segment architecture assert audit auxiliary chroot
    call-graph-ordering-file dT default-script defsym depaudit dependency-file directory dynamic-linker dynamic-list
    entry error-handling-script exclude-libs export-dynamic-symbol export-dynamic-symbol-list filter fini format gpsize
    hash-style ignore-unresolved-symbol image-base init just-symbols library library-path mllvm mri-script oformat
    opt-remarks-filename opt-remarks-format opt-remarks-passes orphan-handling out-implib output plugin plugin-opt
    require-defined retain-symbols-file rpath rpath-link script section-start soname sort-section spare-dynamic-tags
    symbol-ordering-file sysroot task-link trace-symbol undefined unresolved-symbols version-exports-section
    version-script wrap
"""
LONG = frozenset(_LONG.split())  # take a value, in the next word if there is no `=`
WHOLE = frozenset({"omagic", "emit-relocs", "help"})  # long options that with one dash look like a short one's value
SAME = {
    "o": "output", "T": "script", "dT": "script", "default-script": "script", "r": "relocatable", "i": "relocatable",
    "Ur": "relocatable", "Bshareable": "shared", "q": "emit-relocs", "s": "strip-all",
}  # fmt: skip
DEPTH = 20  # response files in response files

Asked = Callable[[str], bool]  # whether the linker finds --version in a response file with that text


@dataclass(frozen=True)
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


@dataclass
class LinkLine:
    """The inputs, archives as they are named; the options by their long names, each with its last value; the words,
    with those of response files in place."""

    words: list[str]
    inputs: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=lambda: ["."])  # in which the linker looks for scripts
    options: dict[str, str] = field(default_factory=dict)

    def __contains__(self, option: str) -> bool:
        return option in self.options

    @property
    def output(self) -> Path:
        return Path(self.options.get("output", "a.out"))

    def map(self, *, expands: bool) -> Path | None:
        """Where the map goes, if it goes to a file; `expands`: whether a `%` there stands for the output, as in GNU
        ld."""
        value = self.options.get("Map", "-")
        if value == "-":
            return None
        head, percent, tail = value.partition("%")
        value = f"{head}{self.output}{tail or '.map'}" if percent and expands else value
        return Path(value, f"{self.output.name}.map") if Path(value).is_dir() else Path(value)

    @property
    def depfile(self) -> Path | None:
        return Path(self.options["dependency-file"]) if "dependency-file" in self else None

    @property
    def is_final(self) -> bool:
        """Whether a program or a kernel is to be linked."""
        others = ("relocatable", "shared", "version", "help", "target-help")
        return bool(self.inputs) and not any(option in self for option in others)


def parse(words: list[str], asked: Asked = lambda text: False) -> LinkLine:
    """The command line that the words after the linker's name are. The linker is asked only if that makes a
    difference."""
    line = LinkLine(list(_expanded(words, asked, 0)))
    for name, value, spelled in _options(line.words):
        if name:
            line.options[name] = value
        if not name or name == "l":
            line.inputs.append(spelled[0])
        if name == "script":
            line.scripts.append(value)
        if name in ("L", "library-path"):
            line.folders.append(value)
    return line


def without_scripts(line: LinkLine) -> list[str]:
    """Its words but for those that name linker scripts."""
    return [word for name, _, spelled in _options(line.words) if name != "script" for word in spelled]


def response(words: list[str]) -> str:
    """The text of a response file with these words, for any linker."""
    return "".join(f'"{escaped}"\n' for escaped in (re.sub(r'(["\\])', r"\\\1", word) for word in words))


def _options(words: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Each option: its long name, its value, and the words that it is; an input has no name."""
    queue = deque(words)
    while queue:
        word = queue.popleft()
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        spelled = [word]
        if not word.startswith("-") or word == "-":
            name = value = ""
        elif name in LONG:
            if not equals and queue:
                spelled.append(value := queue.popleft())
        elif word[1] in SHORT and name not in WHOLE:
            name, value = word[1], word[2:]
            if not value and queue:
                spelled.append(value := queue.popleft())
        yield SAME.get(name, name), value, spelled


def _expanded(words: list[str], asked: Asked, depth: int) -> Iterator[str]:
    """The words, with those of response files in place of @file; one that cannot be read is a word."""
    for word in words:
        try:
            named = word.startswith("@") and depth < DEPTH
            text = Path(word[1:]).read_text(errors="surrogateescape") if named else None
        except (OSError, ValueError):
            text = None
        if text is None:
            yield word
        else:
            yield from _expanded(_words(text, asked), asked, depth + 1)


def _words(text: str, asked: Asked) -> list[str]:
    if not re.search(r"""['"\\\v\f]""", text):  # as nearly all are, and some are long
        return re.findall(r"[^ \t\n\r]+", text)
    readings = [quoting.words(text) for quoting in QUOTINGS]
    if all(reading == readings[0] for reading in readings):
        return readings[0]
    return next(words for words, q in zip(readings, QUOTINGS, strict=True) if not q.asked or asked(q.asked))
