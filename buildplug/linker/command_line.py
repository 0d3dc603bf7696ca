"""A linker's command line: only what must be known to tell a final link from others, and to make it twice.

The syntax is that of GNU ld, lld and mold: a long option has one dash or two, and its value behind `=` or in the next
word; a short one its value in the same word or in the next.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
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


@dataclass
class LinkLine:
    """The inputs, archives as they are named; the options by their long names, each with its last value."""

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


def parse(words: list[str]) -> LinkLine:
    """The command line that the words after the linker's name are."""
    line = LinkLine()
    for name, value, spelled in _options(_expanded(words, 0)):
        if name:
            line.options[name] = value
        if not name or name == "l":
            line.inputs.append(spelled[0])
        if name == "script":
            line.scripts.append(value)
        if name in ("L", "library-path"):
            line.folders.append(value)
    return line


def without_scripts(words: list[str]) -> list[str]:
    """The words, with those of response files in place, but for those that name linker scripts."""
    return [word for name, _, spelled in _options(_expanded(words, 0)) if name != "script" for word in spelled]


def response(words: list[str]) -> str:
    """The text of a response file with these words."""
    return "".join(re.sub(r"""([\s\\'"])""", r"\\\1", word) + "\n" if word else "''\n" for word in words)


def _words(text: str) -> list[str]:
    """The words of a response file, as libiberty's buildargv() has them, and LLVM's TokenizeGNUCommandLine(): unlike in
    a shell a backslash takes the next character as it is in any quotes, and a quote may stay open."""
    words, word, quote, escaped = [], "", "", False
    inside = False  # a word, which may be empty
    for character in text + " ":
        if escaped or (quote and character not in ("\\", quote)):
            word, escaped = word + character, False
        elif character == "\\":
            inside = escaped = True
        elif character in ("'", '"'):
            inside, quote = True, "" if quote else character
        elif character not in " \t\n\v\f\r":
            inside, word = True, word + character
        elif inside:
            words.append(word)
            word, inside = "", False
    return words + [word[:-1]] * inside


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


def _expanded(words: list[str], depth: int) -> Iterator[str]:
    """The words, with those of response files in place of @file; one that cannot be read is a word."""
    for word in words:
        try:
            named = word.startswith("@") and depth < DEPTH
            inner = _words(Path(word[1:]).read_text(errors="surrogateescape")) if named else None
        except (OSError, ValueError):
            inner = None
        if inner is None:
            yield word
        else:
            yield from _expanded(inner, depth + 1)
