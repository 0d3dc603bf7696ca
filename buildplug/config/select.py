"""How a table's rows are selected: one record for each kind of rows, with the keys that apply to it."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, ClassVar, Literal

from buildplug.arch.field import FIELD_NAMES
from buildplug.arch.form import IGNORED_KINDS, KIND_NAMES
from buildplug.base.errors import BuildplugError
from buildplug.base.keys import OneOf
from buildplug.base.records import frozen

TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "string")
HOLDS = ("number", "address", "string")

Globs = tuple[str, ...]
Base = Annotated[str, OneOf("base", ("here", "table", "zero"))]
Kind = Annotated[str, OneOf("kind", KIND_NAMES)]
Encoding = Annotated[str, OneOf("encoding", FIELD_NAMES)]


@frozen
class Value:
    """A value of a row, available to the fields of a plain table."""

    about: str
    holds: str = "number"  # of HOLDS


@frozen
class Member:
    """A member of a record, which is data of a fixed size."""

    name: Annotated[str, "A C identifier."]
    type: Annotated[str, OneOf("type", (*TYPES[:-1], "word")), "As numpy names it; a `word` is as wide as an address."]
    holds: Annotated[
        str, OneOf("holds", HOLDS), "What it is; a string is the address of bytes that end with a zero."
    ] = "number"
    base: Annotated[Base, "What an address is relative to: the member itself, the first record, or nothing."] = "here"


@frozen(kw_only=True)
class References:
    """Rows are the places in code and data that refer to chosen symbols."""

    rows: Annotated[Literal["references"], "The kind of rows; this is the default."] = "references"
    functions: Annotated[Globs, "References to the start of these functions."] = ()
    slots: Annotated[Globs, "References to the words of these objects, structs or arrays of function pointers."] = ()
    ranges: Annotated[tuple[tuple[str, str], ...], "References to all symbols from START to before END."] = ()
    exclude: Annotated[Globs, "No references to these symbols."] = ()
    sections: Annotated[Globs, "Only references from these sections."] = ("*",)
    skip: Annotated[Globs, "No references from these sections."] = (".eh_frame",)
    kinds: Annotated[tuple[Kind, ...], "The kinds of references that become rows."] = KIND_NAMES
    leave: Annotated[
        tuple[Annotated[str, OneOf("kind", (*KIND_NAMES, *IGNORED_KINDS))], ...],
        "The kinds of references that are counted and ignored; any other kind is an error.",
    ] = ()

    needs_relocations: ClassVar[bool] = True
    values: ClassVar[Mapping[str, Value]] = {
        "site": Value("address of the reference", "address"),
        "target": Value("address that it refers to", "address"),
        "symbol": Value("name of the target", "string"),
        "length": Value("length of the site, bytes"),
        "kind": Value("kind of the site, its place in: " + " ".join(KIND_NAMES)),
        "addend": Value("addend of the relocation"),
        "slot": Value("number of the target among the words of its object"),
        "held": Value("name of the function whose address the slot holds in the image; empty if none", "string"),
        "zero": Value("zero, for padding"),
    }

    def check(self, where: str) -> None:
        """Raises BuildplugError if nothing is selected."""
        _some(where, functions=self.functions, slots=self.slots, ranges=self.ranges)


@frozen(kw_only=True)
class Symbols:
    """Rows are symbols."""

    rows: Annotated[Literal["symbols"], "The kind of rows."] = "symbols"
    functions: Annotated[Globs, "These functions."] = ()
    objects: Annotated[Globs, "These objects."] = ()
    ranges: Annotated[tuple[tuple[str, str], ...], "All symbols from START to before END."] = ()
    exclude: Annotated[Globs, "None of these."] = ()
    sections: Annotated[Globs, "Only symbols in these sections."] = ("*",)
    skip: Annotated[Globs, "No symbols in these sections."] = (".eh_frame",)
    untyped: Annotated[bool, "Also symbols that are neither function nor object, such as labels."] = False
    absolute: Annotated[bool, "Of format `ksyms`: also symbols whose value is no place in the image."] = False
    fixed: Annotated[
        dict[str, str],
        "Sections whose symbols stay where they are when the image slides, such as offsets in a per-CPU area, each "
        "with an empty string.",
    ] = field(default_factory=dict)

    needs_relocations: ClassVar[bool] = False
    values: ClassVar[Mapping[str, Value]] = {
        "address": Value("address of the symbol", "address"),
        "entry": Value("address to call the function at, which for Thumb is the address plus one", "address"),
        "name": Value("name of the symbol", "string"),
        "size": Value("size of the symbol, bytes"),
        "letter": Value("character that nm has for the symbol"),
        "zero": Value("zero, for padding"),
    }

    def check(self, where: str) -> None:
        """Raises BuildplugError if nothing is selected."""
        _some(where, functions=self.functions, objects=self.objects, ranges=self.ranges)


@frozen(kw_only=True)
class Relocations:
    """Rows are the relocated fields that change when the image slides."""

    rows: Annotated[Literal["relocations"], "The kind of rows."] = "relocations"
    exclude: Annotated[Globs, "No relocations against these symbols."] = ()
    sections: Annotated[Globs, "Only fields in these sections."] = ("*",)
    skip: Annotated[Globs, "No fields in these sections."] = (".eh_frame",)
    encodings: Annotated[tuple[Encoding, ...], "The encodings of the fields."] = FIELD_NAMES
    fixed: Annotated[
        dict[str, str],
        "Sections whose symbols stay where they are when the image slides, such as offsets in a per-CPU area, each "
        "with the symbol that has the address of its bytes, or an empty string if that is its own or does not matter.",
    ] = field(default_factory=dict)
    moving: Annotated[Globs, "Symbols that move with the image although they are absolute or in a fixed section."] = ()

    needs_relocations: ClassVar[bool] = True
    values: ClassVar[Mapping[str, Value]] = {
        "place": Value("address of the field", "address"),
        "encoding": Value("encoding of the field, its place in: " + " ".join(FIELD_NAMES)),
        "symbol": Value("name of what the field refers to", "string"),
        "addend": Value("addend of the relocation"),
        "type": Value("r_type of the relocation"),
    }

    def check(self, where: str) -> None:
        """Accepts any keys."""


@frozen(kw_only=True)
class Records:
    """Rows are records that macros of the kernel leave in sections.

    Their values are their members. For a member that is an address there is also `MEMBER.symbol`, the name of the
    symbol there.
    """

    rows: Annotated[Literal["records"], "The kind of rows."] = "records"
    sections: Annotated[Globs, "The sections that consist of records."] = ()
    skip: Annotated[Globs, "None of these sections."] = (".eh_frame",)
    ranges: Annotated[tuple[tuple[str, str], ...], "Records from START to before END."] = ()
    optional: Annotated[bool, "A section that does not exist has no records, and is no error."] = False
    members: Annotated[tuple[Member, ...], "The members of a record, in their order, without gaps."] = ()

    needs_relocations: ClassVar[bool] = True  # which say what the bytes do not: see select/annotations.py

    @property
    def values(self) -> Mapping[str, Value]:
        values = {}
        for member in self.members:
            values[member.name] = Value(f"{member.holds} of the record", member.holds)
            if member.holds == "address":
                values[f"{member.name}.symbol"] = Value("name of the symbol at that address", "string")
        return values

    def check(self, where: str) -> None:
        """Raises BuildplugError if nothing is selected, or for bad member names."""
        _some(where, sections=self.sections, ranges=self.ranges)
        _some(where, members=self.members)
        for member in self.members:
            if member.name in ("asm", "comment"):
                place = f"{where}: member {member.name!r}"
                raise BuildplugError(place, "this name is taken by what templates see of a row", "rename it")
        check_names(where, "member", [member.name for member in self.members])


Select = References | Symbols | Relocations | Records

FUNCTIONS = {  # suffix of a value that is an address -> the function that is a value of its own
    ".function": "the function that contains {}",
    ".entry": "the function that {} is in, or before the entry of",
}
START = ".start"  # a suffix of those: the function's address in place of its name


def with_functions(values: Mapping[str, Value]) -> dict[str, Value]:
    """Values, and the functions of those that are addresses."""
    found = dict(values)
    for name in (name for name, value in values.items() if value.holds == "address"):
        for suffix, about in FUNCTIONS.items():
            found[f"{name}{suffix}"] = Value(f"name of {about.format(name)}", "string")
            found[f"{name}{suffix}{START}"] = Value(f"address of {about.format(name)}", "address")
    return found


def check_names(where: str, what: str, names: list[str]) -> None:
    """Raises BuildplugError unless the names of members or fields are unique C identifiers."""
    for name in names:
        if not name.isidentifier() or not name.isascii():
            raise BuildplugError(f"{where}: {what} {name!r}", "expected a C identifier", "rename it")
    if len(set(names)) != len(names):
        raise BuildplugError(where, f"expected each {what} once, found {', '.join(names)}")


def _some(where: str, **choices: tuple[object, ...]) -> None:
    if not any(choices.values()):
        raise BuildplugError(where, f"expected {' or '.join(choices)}, found none", "add one")
