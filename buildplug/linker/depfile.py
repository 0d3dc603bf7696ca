"""Depfiles of make and ninja: one rule that says what is made from which files.

After it comes an empty rule for each of the files, so that make goes on when one is gone.
"""

import re

from buildplug.base.records import frozen


@frozen
class Depfile:
    """Names as they are, not as they are written."""

    targets: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def text(self) -> str:
        names = [escaped(name) for name in dict.fromkeys(self.inputs)]
        rule = f"{' '.join(map(escaped, self.targets))}: {' '.join(names)}\n"
        return rule + "".join(f"\n{name}:\n" for name in names)


def parse(text: str, unescaped: str = "") -> Depfile:
    """The rule of a linker's depfile. lld escapes names, GNU ld and mold do not: a space in one of theirs makes it two,
    but for those that begin with `unescaped`."""
    if unescaped != escaped(unescaped):
        text = text.replace(unescaped, escaped(unescaped))
    rule = text.replace("\\\n", " ").partition("\n")[0]
    targets, _, inputs = re.sub(r":(?=\s|$)", "\n", rule, count=1).partition("\n")
    return Depfile(_names(targets), _names(inputs))


def _names(words: str) -> tuple[str, ...]:
    return tuple(_unescaped(word) for word in re.split(r"(?<!\\)\s+", words) if word)


def escaped(name: str) -> str:
    """A name as a makefile has it."""
    return re.sub(r"([ #])", r"\\\1", name).replace("$", "$$")


def _unescaped(word: str) -> str:
    return re.sub(r"\\([ #])", r"\1", word).replace("$$", "$")
