"""Table rules: what a table contains. A rule is a TOML file; shipped ones are in rules/tables/."""

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES
from buildplug.base import data
from buildplug.base.errors import BuildplugError
from buildplug.base.keys import OneOf, keys_of, union_of
from buildplug.base.records import frozen
from buildplug.base.schema import convert, load, misplaced, unknown
from buildplug.config.select import TYPES, Base, Globs, References, Select, Value, check_names, with_functions
from buildplug.image.demangle import TRIM

RECORDS = ".bp_records."  # prefix of the record sections that buildplug's macros emit
Kind = TypeVar("Kind", bound=Select)


@frozen
class Field:
    """A field of a row."""

    name: Annotated[str, "A C identifier."]
    type: Annotated[str, OneOf("type", TYPES), "As numpy names it, or `string`."]
    value: Annotated[str, "The value of the row that it holds, of those below or a member."]
    base: Annotated[Base, "What an address is relative to: the field itself, the table, or nothing."] = "here"


@frozen
class Row:
    """A row of what is selected. Without any, each that is selected has one row, of its own values."""

    only: Annotated[
        dict[str, Globs], "Only of those whose value of that name, a string, is among these; of all the others, none."
    ] = field(default_factory=dict)
    numbers: Annotated[dict[str, int], "Values of the row besides those of what is selected: numbers."] = field(
        default_factory=dict
    )
    addresses: Annotated[dict[str, str], "The same: addresses of the symbols of these names."] = field(
        default_factory=dict
    )

    @property
    def values(self) -> dict[str, Value]:
        numbers = {name: Value("number that the row says") for name in self.numbers}
        return numbers | {name: Value("address of a symbol that the row says", "address") for name in self.addresses}


@frozen
class Output:
    """What the rows become."""

    format: Annotated[
        str, OneOf("format"), "By default `rows` if there are fields, else `sites`, for the boot-time fixup."
    ] = ""
    by_name: Annotated[bool, "Of format `ksyms`: symbols can be looked up by name, too."] = True
    demangle: Annotated[bool, "Of format `ksyms`: names of C++ and Rust are readable, as `nm -C` prints them."] = False
    hashes: Annotated[
        bool, "With `demangle`: names have all that `c++filt` knows of them, such as the hashes of Rust."
    ] = False
    trim: Annotated[
        str,
        OneOf("trim", tuple(TRIM)),
        "With `demangle`: names have `...` for the arguments of generics, for the parameters of C++, or for both.",
    ] = ""
    raw: Annotated[bool, "With `demangle`: symbols can be looked up by their names in the image, too."] = False
    fields: Annotated[tuple[Field, ...], "Of format `rows`: the fields of a row."] = ()
    each: Annotated[tuple[Row, ...], "Of format `rows`: the rows of each that is selected, in this order."] = ()
    sort: Annotated[
        tuple[str, ...],
        "The values that order the rows; by default that of the first field with an address, or the first.",
    ] = ()
    unique: Annotated[bool, "Two rows with the same first value of `sort` are an error."] = False
    head: Annotated[bool, "Two words before the rows say how many there are, and the bytes of each."] = True
    template: Annotated[str, "A template of your own for the table, relative to `buildplug.toml`."] = ""
    runtime: Annotated[
        tuple[str, ...],
        "Templates of what a kernel compiles in: `*.c.j2` or `*.S.j2`, `*.h.j2` for the plain header, and `*.rs.j2` "
        "for the plain module of a kernel in Rust.",
    ] = ()
    flags: Annotated[str, OneOf("flags", ("a", "aw")), "Of the section: `aw` if it is writable."] = "a"
    align: Annotated[int, "Of the section: bytes, a power of two."] = 16
    placed: Annotated[bool, "The kernel's own linker script places the section."] = False
    first: Annotated[bool, "With `placed`: the table is in front of what the kernel has in that section."] = False
    section: Annotated[str, "Name of the section; by default `.bp_` and the rule's name."] = ""  # gas wants the dot
    symbol: Annotated[str, "Name of the table; by default `bp_` and the rule's name."] = ""


@frozen
class Rule:
    """A table: how its rows are selected, and what they become."""

    name: Annotated[str, "Letters, digits, `-` and `_`."]
    about: Annotated[str, "What the table holds, in one line."]
    select: Select = field(default_factory=References)
    table: Output = field(default_factory=Output)

    @property
    def section(self) -> str:
        return self.table.section or f".bp_{self.symbol_part}"

    @property
    def symbol(self) -> str:
        return self.table.symbol or f"bp_{self.symbol_part}"

    @property
    def records(self) -> tuple[str, ...]:
        """The record sections from buildplug's own macros, which the user's linker script need not name."""
        return tuple(name for name in self.select.sections if name.startswith(RECORDS))

    @property
    def format(self) -> str:
        return self.table.format or ("rows" if self.table.fields else "sites")

    @cached_property
    def values(self) -> dict[str, str]:
        """What a field may hold: value -> description."""
        return {name: value.about for name, value in self._values.items()}

    @cached_property
    def holds(self) -> dict[str, str]:
        """Value -> number, address or string."""
        return {name: value.holds for name, value in self._values.items()}

    @cached_property
    def _values(self) -> dict[str, Value]:
        return with_functions(self.select.values) | (self.table.each[0].values if self.table.each else {})

    @cached_property
    def asked(self) -> set[str]:
        """The values that it makes use of."""
        only = (name for row in self.table.each for name in row.only)
        return {*(entry.value for entry in self.table.fields), *self.table.sort, *only}

    def select_as(self, kind: type[Kind]) -> Kind:
        """`select`, which must be of that kind. Raises BuildplugError."""
        if not isinstance(self.select, kind):
            raise BuildplugError(f"rule {self.name}", f"expected rows that are {kind.rows}, found {self.select.rows}")
        return self.select

    def anchor(self, number: int) -> str:
        """The symbol with the address of the table's section of that number."""
        return f"{self.anchors}{number}"

    @property
    def anchors(self) -> str:
        """How the names of all of these start."""
        return f"__{self.symbol}_section_"

    @property
    def symbol_part(self) -> str:
        return self.name.replace("-", "_")


def find(name: str, base: Path) -> Rule:
    """The rule `name`: a shipped one, or a TOML file relative to `base`. Raises BuildplugError."""
    names = data.rules()
    path = names.get(name, base / name)
    if name not in names and not (name.endswith(".toml") or "/" in name):
        raise unknown(base, "rule", name, names)
    return _checked(convert(Rule, load(path), str(path)), path)


def find_shipped() -> list[Rule]:
    """The shipped rules, by name."""
    return [find(name, Path()) for name in data.rules()]


def check_arch(rule: Rule, arch: Arch, where: object) -> None:
    """Raises BuildplugError if the architecture has no rows of the rule's kind."""
    known = ", ".join(a.name for a in ARCHES.values() if rule.select.rows in a.rows)
    if rule.select.rows not in arch.rows:
        raise BuildplugError(
            where,
            f"rule {rule.name}: expected a rule of {' or '.join(arch.rows)}, all that {arch.name} has, found one of "
            f"{rule.select.rows}",
            f"use a rule of symbols, such as ksyms; those of {rule.select.rows} are for {known}",
        )


def adjusted(rule: Rule, keys: Mapping[str, Any], where: str) -> Rule:
    """The rule with some keys replaced, including those of `select` and `table`. Raises BuildplugError."""
    kinds: tuple[type, ...] = (Rule, type(rule.select), Output)
    known = [keys_of(kind) for kind in kinds]
    for key in keys:
        if not any(key in names for names in known):
            raise misplaced(where, union_of(Select), key, rule.select.rows) or unknown(where, "key", key, known[1])
    own, select, table = ({key: value for key, value in keys.items() if key in names} for names in known)
    parts = replace(rule, select=replace(rule.select, **select), table=replace(rule.table, **table))
    return _checked(replace(parts, **own), where)


def _checked(rule: Rule, where: object) -> Rule:
    """The rule, if its keys are consistent. Raises BuildplugError."""
    if not rule.name.replace("-", "_").isidentifier() or not rule.name.isascii():
        raise BuildplugError(where, f"name: expected letters, digits and '-', found {rule.name!r}", "rename the rule")
    for name in (rule.section.removeprefix("."), rule.symbol):
        if not name.replace(".", "_").isidentifier() or not name.isascii():
            raise BuildplugError(f"{where}: table", f"expected a C identifier, found {name!r}", "rename it")
    rule.select.check(f"{where}: select")
    if rule.select.rows == "symbols" and (rule.select.absolute or rule.select.fixed) and rule.table.fields:
        raise BuildplugError(f"{where}: select", "absolute and fixed are for symbols without fields", "leave them out")
    if rule.table.align < 1 or rule.table.align & (rule.table.align - 1):
        raise BuildplugError(f"{where}: table: align", f"expected a power of two, found {rule.table.align}")
    for key, given, goes in (
        ("demangle", rule.table.demangle, rule.format == "ksyms"),
        ("hashes", rule.table.hashes, rule.table.demangle),
        ("trim", rule.table.trim, rule.table.demangle),
        ("raw", rule.table.raw, rule.table.demangle and rule.table.by_name),
    ):
        if given and not goes:
            needs = {"demangle": "format ksyms", "raw": "demangle and by_name"}.get(key, "demangle")
            raise BuildplugError(f"{where}: table", f"{key} is for tables with {needs}", "leave it out")
    if rule.table.first and not rule.table.placed:
        raise BuildplugError(f"{where}: table", "first is for tables with placed", "leave it out")
    _check_each(rule, f"{where}: table: each")
    _check_fields(rule, f"{where}: table")
    return rule


def _check_each(rule: Rule, where: str) -> None:
    if rule.table.each and not rule.table.fields:
        raise BuildplugError(where, "expected fields, found none", "add fields, or leave each out")
    for number, row in enumerate(rule.table.each):
        place, own = f"{where}[{number}]", [*row.numbers, *row.addresses]
        check_names(place, "value", own)
        if taken := sorted(with_functions(rule.select.values).keys() & own):
            raise BuildplugError(place, f"{taken[0]} is a value of what is selected", "rename it")
        if row.values != rule.table.each[0].values:
            expected = ", ".join(rule.table.each[0].values) or "none"
            raise BuildplugError(
                place, f"expected the values of the first, {expected}, found {', '.join(own) or 'none'}"
            )
        for name, value in row.numbers.items():
            if not -(1 << 63) <= value < 1 << 63:
                raise BuildplugError(f"{place}: numbers: {name}", f"expected 64 bits with a sign, found {value:#x}")
        for name in row.only:
            if name not in rule.values:
                raise unknown(f"{place}: only", "value", name, rule.values)
            if rule.holds[name] != "string":
                raise BuildplugError(f"{place}: only", f"expected strings, found {name}, of {rule.holds[name]}s")


def _check_fields(rule: Rule, where: str) -> None:
    check_names(where, "field", [entry.name for entry in rule.table.fields])
    for entry in rule.table.fields:
        place = f"{where}: field {entry.name!r}"
        if entry.value not in rule.values:
            raise unknown(place, "value", entry.value, rule.values)
        if (entry.type == "string") != (rule.holds[entry.value] == "string"):
            raise BuildplugError(place, f"value {entry.value} does not go with type {entry.type}", "a name is a string")
    for name in rule.table.sort:
        if name not in rule.values:
            raise unknown(f"{where}: sort", "value", name, rule.values)
    for name in rule.table.runtime:
        if not name.endswith((".h.j2", ".c.j2", ".S.j2", ".rs.j2")):
            raise BuildplugError(
                f"{where}: runtime", f"expected templates *.h.j2, *.c.j2, *.S.j2 or *.rs.j2, found {name!r}"
            )
