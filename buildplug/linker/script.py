"""Places the tables: after which output section, and in which region and segment of the kernel's own linker script.

Reads only the parts of a script that matter here: output sections, their input patterns, and what follows their closing
braces. Settings override what it finds. Source: the manual of GNU ld, "Linker Scripts". Knows no linker.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.base.files import read
from buildplug.base.globs import SPECIAL
from buildplug.base.records import frozen
from buildplug.config.project import Config, WantedTable
from buildplug.config.rule import Rule

# The default place, by the flags of the table's section: after the first of these in the script.
AFTER = {"a": (".rodata", ".text", ".data"), "aw": (".data",)}
INTO = r"(> ?[\w.]+ ?)?(AT ?> ?[\w.]+ ?)?(:[\w.]+ ?)*"
MEMORY = r"\bMEMORY\s*\{[^}]*\}|\bREGION_ALIAS\s*\([^)]*\)\s*;?"
CONSTANT = r"[\dA-Fa-fxKM()+*/<>|&~-]+"
DATA = ("BYTE", "SHORT", "LONG", "QUAD", "SQUAD", "ASCIZ")  # make content
INCLUDES = 10  # nesting depth, as in GNU ld


@frozen
class Placed:
    """A table's place; `into` follows the closing brace of its output section: `> rom AT> rom :text`."""

    rule: Rule
    after: str
    into: str


@frozen
class Assigned:
    """A symbol that a script assigns, by the tokens of its value; `provided`: only if an input wants it; `hidden`: that
    is its visibility; `inside`: an output section, `first`: in front of all its inputs; `moved`: behind one, and behind
    an assignment to the dot."""

    name: str
    value: tuple[str, ...]
    provided: bool
    hidden: bool = False
    inside: bool = False
    first: bool = False
    moved: bool = False

    @property
    def alias(self) -> str:
        """What it is another name of, if that is a symbol: the only token of its value. Empty if there are more, or it
        is the dot."""
        return self.value[0] if len(self.value) == 1 and self.value[0] != "." else ""

    @property
    def is_constant(self) -> bool:
        """Whether it is no address in a section, but a number, such as the distance of two."""
        words = [*self.value, ""]
        distance = any(
            words[at] == "-" and not any(re.fullmatch(CONSTANT, words[i]) for i in (at - 1, at + 1))
            for at in range(1, len(self.value))
        )
        return distance or "ABSOLUTE" in words or all(re.fullmatch(CONSTANT, word) for word in self.value)


@frozen
class Output:
    """An output section of a script; `takes` are patterns of input sections, `assigns` the symbols in it and up to the
    next one, `moves`: whether the dot is assigned behind it, `address` its own if it is a number. It may have more than
    inputs: symbols, assignments to the dot, some of which make room, data."""

    name: str
    takes: tuple[str, ...]
    into: str = ""
    assigns: tuple[Assigned, ...] = ()
    address: int | None = None
    has_symbols: bool = False
    has_dots: bool = False
    has_room: bool = False
    has_data: bool = False
    moves: bool = False

    @property
    def assigns_end(self) -> bool:
        """Whether it assigns `end`, also with underscores, behind which GNU ld takes the kernel to have ended."""
        return any(one.name.lstrip("_") == "end" for one in self.assigns)


@frozen
class Placement:
    """The places of the tables in a link; if empty, the linker puts their sections beside others with the same flags.

    GNU ld wants MEMORY before the sections in its regions, but INSERT before the sections that it inserts into. So the
    kernel's scripts are split into `memory` and the rest, `script`; both are empty if there are no regions.
    """

    tables: tuple[Placed, ...] = ()
    memory: str = ""
    script: str = ""
    outputs: tuple[Output, ...] = ()  # of the kernel's scripts


def place(config: Config, scripts: Sequence[Path], folders: Sequence[Path]) -> Placement:
    """The places of the tables in a link with these scripts, which the linker searches, like included ones, in
    `folders`. A missing script is left for the linker to report. Raises BuildplugError."""
    if not scripts and not any(table.after or config.link.after for table in config.tables):
        return Placement()
    paths = [path for script in scripts if (path := _path(script, folders))]
    if len(paths) < len(scripts):
        return Placement()
    text = "\n".join(_text(path, folders, INCLUDES) for path in paths)
    found, where = outputs(text), scripts[0] if scripts else config.path
    memory = "\n".join(re.findall(MEMORY, text))
    wanted = [table for table in config.tables if not table.rule.table.placed]
    placed = tuple(_place(config, where, found, table) for table in wanted)
    return Placement(placed, memory, re.sub(MEMORY, "", text) if memory else "", tuple(found))


def _place(config: Config, where: Path, found: Sequence[Output], table: WantedTable) -> Placed:
    rule, names = table.rule, [output.name for output in found]
    wanted = AFTER[rule.table.flags]
    after = table.after or (config.link.after if rule.table.flags == "a" else "")
    after = after or next((name for name in wanted if name in names), "")
    if not after:
        raise BuildplugError(
            where, f"expected a section {' or '.join(wanted)} to place rule {rule.name} after, found "
            f"{', '.join(names) or 'none'}", 'set after = "…" in its [[table]]',
        )  # fmt: skip
    into = table.into or config.link.into
    if not re.fullmatch(INTO, into):
        raise BuildplugError(config.path, f"into: expected what may follow an output section, found {into!r}",
                             'such as into = "> rom AT> rom :text"')  # fmt: skip
    written = any(one.name == after and any(name.startswith(".data") for name in one.takes) for one in found)
    if not (into or written) and after in set(AFTER["a"]) - set(wanted):
        raise BuildplugError(
            config.path, f"after: expected a writable section for rule {rule.name}, found {after}",
            f'set after = "{wanted[0]}" in its [[table]]',
        )  # fmt: skip
    before = found[: names.index(after) + 1] if after in names else []
    for output in before:
        for pattern in output.takes:
            if pattern == rule.section or (SPECIAL & set(pattern) and fnmatchcase(rule.section, pattern)):
                raise BuildplugError(
                    where, f"{output.name} takes {pattern}, which matches the table {rule.section} of rule {rule.name}",
                    f"place it after {after}, or narrow its pattern",
                )  # fmt: skip
    return Placed(rule, after, into or (before[-1].into if before else ""))


def _path(script: Path, folders: Iterable[Path]) -> Path | None:
    """The path of a script in the first of the folders that has it."""
    return next((path for path in (folder / script for folder in folders) if path.is_file()), None)


def _text(script: Path, folders: Iterable[Path], depth: int) -> str:
    """The text of a script without comments, with included scripts in place."""

    def included(match: re.Match[str]) -> str:
        path = _path(Path(match[1].strip('"')), folders) if depth else None
        return _text(path, folders, depth - 1) if path else ""

    text = re.sub(r"/\*.*?\*/", " ", read(script).decode(errors="replace"), flags=re.S)
    return re.sub(r'\bINCLUDE\s+("[^"]*"|[^\s;{}]+)', included, text)


def outputs(text: str) -> list[Output]:
    """The output sections of a script, in order."""
    tokens = re.findall(r'"[^"]*"|[{}();:>=,]|[^\s{}();:>=,"]+', text) + [""] * 2
    loads = set[str]()
    found: list[Output] = []
    at, assigned, inherited = 0, 0, ""  # assigned: the symbols before it are known
    while at < len(tokens) - 2:
        word, opened = tokens[at : at + 2]
        if (word, opened) == ("PHDRS", "{"):
            end = _after_bracket(tokens, at + 1)
            loads |= {
                name for name, kind in zip(tokens[at:end], tokens[at + 1 : end], strict=False) if kind == "PT_LOAD"
            }
            at = end
        elif word in ("SECTIONS", "{", "}", ";", ","):  # the contents of SECTIONS are read as if at top level
            at += 1
        elif opened == "(" and tokens[_after_bracket(tokens, at + 1)] != ":":  # ASSERT, ENTRY, …; not `.bss (NOLOAD) :`
            at = _after_bracket(tokens, at + 1)
        else:
            start = next(i for i in range(at, len(tokens)) if tokens[i] in ("{", ";", "}", ""))
            end = start
            if tokens[start] == "{" and ":" in tokens[at:start]:
                end = _after_bracket(tokens, start)
                takes = tuple(_taken(tokens, start + 1, end - 1))
                end, into, segments = _tail(tokens, end)
                inherited = " ".join(f":{name}" for name in segments if name in loads) if segments else inherited
                between = tuple(_assigned(tokens, assigned, at))
                moves = any(tokens[i] == "=" and "." in tokens[i - 2 : i] for i in range(assigned, at))
                found[-1:] = [replace(last, assigns=last.assigns + between, moves=moves) for last in found[-1:]]
                inputs = next((i for i in range(start + 1, end) if _takes(tokens, i)), end)
                front = tuple(
                    replace(one, inside=True, first=True, moved=False) for one in _assigned(tokens, start + 1, inputs)
                )
                inner = [replace(one, inside=True, moved=False) for one in _assigned(tokens, inputs, end)]
                set_, added = ([".", sign] in (tokens[i : i + 2] for i in range(start, end)) for sign in "=+")
                data = any(tokens[i] in DATA and tokens[i + 1] == "(" for i in range(start, end))
                own = (*(() if found else between), *front, *inner)
                address = int(opened, 0) if re.fullmatch(r"0[xX][\dA-Fa-f]+|[1-9]\d*|0", opened) else None
                more = (bool(front or inner), set_ or added, added, data)
                found.append(Output(word.strip('"'), takes, f"{into} {inherited}".strip(), own, address, *more))
                assigned = end
            at = max(end, at + 1)
    after = tuple(_assigned(tokens, assigned, len(tokens) - 2))
    return [*found[:-1], *(replace(last, assigns=last.assigns + after) for last in found[-1:])]


def _assigned(tokens: Sequence[str], at: int, end: int) -> Iterable[Assigned]:
    """The symbols that a part of a script assigns."""
    moved = False
    for index in range(at + 1, end):
        name, before = tokens[index - 1], tokens[index - 2] if index - 2 >= 0 else ""
        moved |= tokens[index] == "=" and "." in (name, before)
        if tokens[index] == "=" and re.fullmatch(r"[A-Za-z_$][\w$.]*", name) and "=" not in tokens[index + 1][:1]:
            call = tokens[index - 3] if before == "(" else ""
            value = tokens[index + 1 : next((i for i in range(index, end) if tokens[i] in (";", ",")), end)]
            value = value[:-1] if call else value  # without the bracket
            if before != ":" and (before != "(" or call in ("PROVIDE", "PROVIDE_HIDDEN", "HIDDEN")):
                hidden = call.endswith("HIDDEN")
                yield Assigned(name, tuple(value), call.startswith("PROVIDE"), hidden, moved=moved)


def _after_bracket(tokens: Sequence[str], at: int) -> int:
    """The index after the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index] in ("{", "(")) - (tokens[index] in ("}", ")"))
        if depth == 0:
            return index + 1
    return len(tokens) - 2


def _taken(tokens: Sequence[str], at: int, end: int) -> Iterable[str]:
    """The patterns of input sections in the body of an output section: those in parentheses after a file pattern.
    Skips expressions, whose `*` is not a pattern."""
    while at < end:
        if tokens[at] == "=":
            at = next((i for i in range(at, end) if tokens[i] == ";"), end)
        after = _after_bracket(tokens, at + 1) if _takes(tokens, at) else at + 1
        yield from (word.strip('"') for word in tokens[at + 2 : after])
        at = after


def _takes(tokens: Sequence[str], at: int) -> bool:
    """Whether a token is a pattern of files, with input sections behind it."""
    return tokens[at + 1] == "(" and bool(set(tokens[at]) & set("*."))


def _tail(tokens: Sequence[str], at: int) -> tuple[int, str, list[str]]:
    """What follows the closing brace of an output section: the index of its end, the regions, the segments."""
    regions, segments = "", list[str]()
    while True:
        word, following = tokens[at : at + 2] if at + 2 <= len(tokens) else ("", "")
        if (word, following) == ("AT", ">"):
            regions += f" AT> {tokens[at + 2]}"
            at += 3
        elif word == ">":
            regions += f" > {following}"
            at += 2
        elif word in (":", "="):
            segments += [following] * (word == ":")
            at += 2
        elif word == ",":
            at += 1
        else:
            return at, regions.strip(), segments
