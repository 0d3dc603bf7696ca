"""Table rules: what a table is made of. A rule is a TOML file; those that ship lie in rules/tables/."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from buildplug.arch.field import FIELD_NAMES
from buildplug.arch.form import IGNORED_KINDS, KIND_NAMES
from buildplug.base import data
from buildplug.base.errors import BuildplugError
from buildplug.base.schema import convert, load, unknown

# What a field of a plain table may hold: rows -> value -> what it is.
VALUES = {
    "references": {
        "site": "address of the reference",
        "target": "address that it refers to",
        "symbol": "name of the target",
        "length": "of the site, bytes",
        "kind": "of the site, its place in: " + " ".join(KIND_NAMES),
        "addend": "of the relocation",
        "slot": "the number of the target among the words of its object",
        "zero": "nothing: padding",
    },
    "symbols": {
        "address": "of the symbol",
        "name": "of the symbol",
        "size": "bytes",
        "letter": "the character that nm has for it",
        "zero": "nothing: padding",
    },
    "relocations": {
        "place": "address of the field",
        "encoding": "of the field, its place in: " + " ".join(FIELD_NAMES),
        "symbol": "name of what the field refers to",
        "addend": "of the relocation",
        "type": "of the relocation, its r_type",
    },
    "records": {},  # the members, and of those that are addresses .symbol: Rule.values
}
ADDRESSES, STRINGS = ("site", "target", "address", "place"), ("symbol", "name")
TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "string")
BASES = ("here", "table", "zero")
HOLDS = ("number", "address", "string")
RECORDS = ".bp_records."  # begins the names of the sections of records that macros of ours leave
EVERYWHERE = ("rows", "sections", "skip")
KEYS = {  # of [select], by its rows: what means something there, beside EVERYWHERE
    "references": ("functions", "slots", "ranges", "exclude", "kinds", "leave"),
    "symbols": ("functions", "objects", "ranges", "exclude", "untyped", "absolute", "fixed"),
    "relocations": ("exclude", "encodings", "fixed", "moving"),
    "records": ("ranges", "members", "optional"),
}


@dataclass(frozen=True)
class Member:
    """A member of a record: its name, its numpy type or `word`, an address of the machine; what it holds; and of an
    address what it is relative to: the member itself, the first record, or nothing. A string is the address of its
    bytes, which end with a zero."""

    name: str
    type: str
    holds: str = "number"
    base: str = "here"


@dataclass(frozen=True)
class Select:
    """What makes the rows. Names and globs match symbols and sections; `?`, `*` and `[]` as in fnmatch."""

    # or symbols; or relocations: of the fields that change when the image slides; or records, which lie in sections
    rows: str = "references"
    functions: tuple[str, ...] = ()  # references to the start of these
    slots: tuple[str, ...] = ()  # references to words of these objects: structs or arrays of function pointers
    objects: tuple[str, ...] = ()  # of rows that are symbols: these objects, beside the functions
    ranges: tuple[tuple[str, ...], ...] = ()  # [start, end): each a symbol or an integer; all symbols or records in it
    exclude: tuple[str, ...] = ()  # not these symbols
    untyped: bool = False  # of rows that are symbols: also those that are neither function nor object, such as labels
    absolute: bool = False  # of format ksyms: also those whose value is no place in the image
    sections: tuple[str, ...] = ("*",)  # only references from these sections, or symbols in them; those of the records
    skip: tuple[str, ...] = (".eh_frame",)  # none of these
    kinds: tuple[str, ...] = KIND_NAMES  # kinds of sites that become rows
    leave: tuple[str, ...] = ()  # kinds that are counted and left alone; any other kind is an error
    encodings: tuple[str, ...] = FIELD_NAMES  # of rows that are relocations: the encodings of their fields
    fixed: dict[str, str] = field(default_factory=dict)
    """Sections whose symbols stay where they are when the image slides (offsets in a per-CPU area, say), each with the
    symbol that has the address of its bytes, or nothing if that is its own or no matter."""
    moving: tuple[str, ...] = ()  # of rows that are relocations: symbols that move all the same, even absolute ones
    members: tuple[Member, ...] = ()  # of a record, in their order, without gaps
    optional: bool = False  # of rows that are records: no such section is no record, and no error


@dataclass(frozen=True)
class Field:
    """A field of a row: its name, its numpy type or `string`, the value that it holds, and of an address what it is
    relative to: the field itself, the table, or nothing."""

    name: str
    type: str
    value: str
    base: str = "here"


@dataclass(frozen=True)
class Output:
    """What the rows become."""

    format: str = ""  # of tables.registry; default: rows if there are fields, else sites, which are for the fixup
    by_name: bool = True  # of ksyms: whether names can be looked up, too
    fields: tuple[Field, ...] = ()
    sort: tuple[str, ...] = ()  # values; default: the first of the fields that is an address, or the first
    unique: bool = False  # no two rows have the same first value of `sort`
    head: bool = True  # two words before the rows: their count, and bytes a row
    template: str = ""  # default: that of the format
    runtime: tuple[
        str, ...
    ] = ()  # templates of what a kernel compiles in: *.h.j2, in place of the plain header; *.c.j2
    flags: str = "a"  # of the section: a, aw
    align: int = 16  # of the section, bytes
    placed: bool = False  # the kernel's own linker script has the section already
    section: str = ""  # default: .bp_ and the name (gas keeps a symbol of the name of a section for itself)
    symbol: str = ""  # default: bp_ and the name


@dataclass(frozen=True)
class Rule:
    """A rule file."""

    name: str
    about: str
    select: Select = field(default_factory=Select)
    table: Output = field(default_factory=Output)

    @property
    def section(self) -> str:
        return self.table.section or f".bp_{self.symbol_part}"

    @property
    def symbol(self) -> str:
        return self.table.symbol or f"bp_{self.symbol_part}"

    @property
    def records(self) -> tuple[str, ...]:
        """The sections of records that macros of ours leave, which no linker script of the user's need name."""
        return tuple(name for name in self.select.sections if name.startswith(RECORDS))

    @property
    def format(self) -> str:
        return self.table.format or ("rows" if self.table.fields else "sites")

    @cached_property
    def values(self) -> dict[str, str]:
        """What a field may hold: value -> what it is."""
        values = dict(VALUES[self.select.rows])
        for member in self.select.members:
            values[member.name] = f"{member.holds} of the record"
            if member.holds == "address":
                values[f"{member.name}.symbol"] = "name of the symbol at that address"
        return values

    @cached_property
    def holds(self) -> dict[str, str]:
        """What each value is: number, address or string."""
        holds = dict.fromkeys(self.values, "number")
        if self.select.rows != "records":
            return (
                holds | {v: "address" for v in ADDRESSES if v in holds} | {v: "string" for v in STRINGS if v in holds}
            )
        named = {value: "string" for value in holds if value.endswith(".symbol")}
        return named | {member.name: member.holds for member in self.select.members}

    def anchor(self, number: int) -> str:
        """The symbol that has the address of the table's section of that number."""
        return f"__{self.symbol}_section_{number}"

    @property
    def symbol_part(self) -> str:
        return self.name.replace("-", "_")


def find(name: str, base: Path) -> Rule:
    """The rule `name`: one that ships, or a TOML file (relative to `base`). Raises BuildplugError."""
    names = data.rules()
    path = names.get(name, base / name)
    if name not in names and not (name.endswith(".toml") or "/" in name):
        raise unknown(base, "rule", name, names)
    rule = convert(Rule, load(path), str(path))
    if not rule.name.replace("-", "_").isidentifier() or not rule.name.isascii():
        raise BuildplugError(path, f"name: expected letters, digits and '-', found {rule.name!r}", "rename the rule")
    for kind in (*rule.select.kinds, *rule.select.leave):
        if kind not in (*KIND_NAMES, *IGNORED_KINDS):
            raise unknown(f"{path}: select", "kind", kind, (*KIND_NAMES, *IGNORED_KINDS))
    for name_ in (rule.section.removeprefix("."), rule.symbol):
        if not name_.replace(".", "_").isidentifier() or not name_.isascii():
            raise BuildplugError(f"{path}: table", f"expected a C identifier, found {name_!r}", "rename it")
    if rule.select.rows not in VALUES:
        raise unknown(f"{path}: select.rows", "rows", rule.select.rows, VALUES)
    for encoding in rule.select.encodings:
        if encoding not in FIELD_NAMES:
            raise unknown(f"{path}: select", "encoding", encoding, FIELD_NAMES)
    usual = Select(rule.select.rows)
    for key in sorted(vars(usual).keys() - {*EVERYWHERE, *KEYS[rule.select.rows]}):
        if getattr(rule.select, key) != getattr(usual, key):
            fitting = ", ".join(rows for rows in KEYS if key in KEYS[rows])
            raise BuildplugError(
                f"{path}: select", f"{key} is for rows that are {fitting}, found {rule.select.rows}", "leave it out"
            )
    if rule.select.rows == "records":
        _check_members(rule, f"{path}: select")
    elif rule.select.rows != "relocations":
        _check_named(rule.select, f"{path}: select")
    if rule.select.rows == "symbols" and (rule.select.absolute or rule.select.fixed) and rule.table.fields:
        raise BuildplugError(f"{path}: select", "absolute and fixed are for symbols without fields", "leave them out")
    if rule.table.align < 1 or rule.table.align & (rule.table.align - 1) or rule.table.flags not in ("a", "aw"):
        raise BuildplugError(f"{path}: table", "expected an align that is a power of two, and flags 'a' or 'aw'")
    _check_fields(rule, f"{path}: table")
    return rule


def find_shipped() -> list[Rule]:
    """The rules that ship, by name."""
    return [find(name, Path()) for name in data.rules()]


def _check_named(select: Select, where: str) -> None:
    if not (select.functions or select.slots or select.ranges or select.objects):
        raise BuildplugError(where, "expected functions, slots, objects or ranges, found none", "add one")


def _check_members(rule: Rule, where: str) -> None:
    select = rule.select
    if not select.ranges and select.sections == ("*",):
        raise BuildplugError(where, "expected the sections or ranges that hold the records, found none", "add one")
    if not select.members:
        raise BuildplugError(where, "expected members of the records, found none", "add members = […]")
    for member in select.members:
        place = f"{where}: member {member.name!r}"
        _check_names(
            place,
            member.name,
            ("type", member.type, (*TYPES[:-1], "word")),
            ("holds", member.holds, HOLDS),
            ("base", member.base, BASES),
        )
        if member.name in ("asm", "comment"):
            raise BuildplugError(place, "this name is taken by what templates see of a row", "rename it")
    names = [member.name for member in select.members]
    if len(set(names)) != len(names):
        raise BuildplugError(where, f"expected each member once, found {', '.join(names)}")


def _check_names(place: str, identifier: str, *choices: tuple[str, str, Collection[str]]) -> None:
    """Of a member or a field: its name, and (what, name, known) of what it chooses."""
    if not identifier.isidentifier() or not identifier.isascii():
        raise BuildplugError(place, "expected a C identifier", "rename it")
    for what, name, known in choices:
        if name not in known:
            raise unknown(place, what, name, known)


def _check_fields(rule: Rule, where: str) -> None:
    for entry in rule.table.fields:
        place = f"{where}: field {entry.name!r}"
        _check_names(
            place,
            entry.name,
            ("type", entry.type, TYPES),
            ("value", entry.value, rule.values),
            ("base", entry.base, BASES),
        )
        if (entry.type == "string") != (rule.holds[entry.value] == "string"):
            raise BuildplugError(place, f"value {entry.value} does not go with type {entry.type}", "a name is a string")
    names = [entry.name for entry in rule.table.fields]
    if len(set(names)) != len(names):
        raise BuildplugError(where, f"expected each field once, found {', '.join(names)}")
    for name in rule.table.sort:
        if name not in rule.values:
            raise unknown(f"{where}: sort", "value", name, rule.values)
    for name in rule.table.runtime:
        if not name.endswith((".h.j2", ".c.j2", ".S.j2")):
            raise BuildplugError(f"{where}: runtime", f"expected templates *.h.j2, *.c.j2 or *.S.j2, found {name!r}")
