"""A linker's command line: only what must be known to tell a final link from others, and to make it twice.

The syntax is that of GNU ld, lld and mold: a long option has one dash or two, and its value behind `=` or in the next
word; a short one its value in the same word or in the next.

Imports nothing that takes time, not even dataclasses: most links of a build are passed on after a look at this, and
such imports take longer than many of them.
"""

from collections.abc import Callable

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
# long options that with one dash look like a short one's value
WHOLE = frozenset({"omagic", "emit-relocs", "help", "unique", "enable-non-contiguous-regions"})
SAME = {
    "o": "output", "T": "script", "dT": "script", "default-script": "script", "r": "relocatable", "i": "relocatable",
    "Ur": "relocatable", "Bshareable": "shared", "q": "emit-relocs", "s": "strip-all", "b": "format",
}  # fmt: skip
DEFAULT_SCRIPTS = frozenset({"dT", "default-script"})
SCRIPTS = frozenset({"T", "script"}) | DEFAULT_SCRIPTS
DEPTH = 20  # response files in response files


class LinkLine:
    """What a command line says; names of files as they are written, archives as they are named."""

    def __init__(self, words: list[str]) -> None:
        self.words = words  # with those of response files in place
        self.inputs: list[str] = []
        self.whole: list[str] = []  # the inputs under --whole-archive
        self.scripts: list[str] = []
        self.default_script = ""  # that of -dT, empty if there is none
        self.folders = ["."]  # in which the linker looks for scripts
        self.given: list[tuple[str, str]] = []  # each option by its long name, with its value
        self.options: dict[str, str] = {}  # the same, each with its last value

    def __contains__(self, option: str) -> bool:
        return option in self.options

    @property
    def output(self) -> str:
        return self.options.get("output", "a.out")

    def map(self, *, percent_is_output: bool) -> str:
        """Where the map goes, empty if not to a file. percent_is_output: what a % in its name stands for."""
        from pathlib import Path

        value = self.options.get("Map", "-")
        if value == "-":
            return ""
        head, percent, tail = value.partition("%")
        value = f"{head}{self.output}{tail or '.map'}" if percent and percent_is_output else value
        return str(Path(value, f"{Path(self.output).name}.map")) if Path(value).is_dir() else value

    @property
    def depfile(self) -> str:
        """Where the depfile goes, empty if there is to be none."""
        return self.options.get("dependency-file", "")

    @property
    def is_final(self) -> bool:
        """Whether a program or a kernel is to be linked. With a script, a shared object may be a kernel: Linux is one
        for arm64 and riscv64."""
        others = ("relocatable", "version", "help", "target-help")
        library = "shared" in self and not self.scripts
        return bool(self.inputs) and not library and not any(option in self for option in others)


def parse(words: list[str], asked: Callable[[str], bool] = lambda text: False) -> LinkLine:
    """The command line that the words after the linker's name are. asked: whether the linker finds --version in a
    response file with a text, if linkers read one otherwise."""
    line, whole = LinkLine(_expanded(words, asked, 0)), False
    for written, value, spelled in _options(line.words):
        name = SAME.get(written, written)
        if name:
            line.options[name] = value
            line.given.append((name, value))
        if name in ("whole-archive", "no-whole-archive"):
            whole = name == "whole-archive"
        if not name or name == "l":
            line.inputs.append(spelled[0])
            line.whole += spelled[:1] * whole
        if name == "script":
            line.scripts.append(value)
            line.default_script = value if written in DEFAULT_SCRIPTS else line.default_script
        if name in ("L", "library-path"):
            line.folders.append(value)
    return line


def without(line: LinkLine, options: frozenset[str]) -> list[str]:
    """Its words except those of `options`, by their names as written."""
    return [word for name, _, spelled in _options(line.words) if name not in options for word in spelled]


def _options(words: list[str]) -> list[tuple[str, str, list[str]]]:
    """Each option: its name as written, its value, and the words that it is; an input has no name."""
    found = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        spelled, in_next = [word], False
        if not word.startswith("-") or word == "-":
            name = value = ""
        elif name in LONG:
            in_next = not equals
        elif word[1] in SHORT and name not in WHOLE:
            name, value = word[1], word[2:]
            in_next = not value
        if in_next and (following := next(rest, None)) is not None:
            value = following
            spelled.append(value)
        found.append((name, value, spelled))
    return found


def _expanded(words: list[str], asked: Callable[[str], bool], depth: int) -> list[str]:
    """The words, with those of response files in place of @file; one that cannot be read is a word."""
    found = []
    for word in words:
        inner = _read(word[1:], asked) if word.startswith("@") and depth < DEPTH else None
        found += [word] if inner is None else _expanded(inner, asked, depth + 1)
    return found


def _read(name: str, asked: Callable[[str], bool]) -> list[str] | None:
    """The words of a response file; None if it cannot be read."""
    from pathlib import Path

    from buildplug.linker import response

    try:
        text = Path(name).read_text(errors="surrogateescape")
    except (OSError, ValueError):
        return None
    return response.words(text, asked)
