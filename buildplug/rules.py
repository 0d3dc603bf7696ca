"""Table rules: what a table is made of. A rule is a TOML file; those that ship lie in rules/."""

from dataclasses import dataclass, field
from pathlib import Path

from buildplug.arch import KINDS, LEFT_KINDS
from buildplug.errors import BuildplugError
from buildplug.schema import convert, load, unknown

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder `rules` or `templates` that ships with buildplug: inside the wheel, or beside the package."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


@dataclass(frozen=True)
class Select:
    """Which references make the rows. Names and globs match symbols; `?`, `*` and `[]` as in fnmatch."""

    functions: tuple[str, ...] = ()  # references to the start of these
    slots: tuple[str, ...] = ()  # references to words of these objects: structs or arrays of function pointers
    ranges: tuple[tuple[str, ...], ...] = ()  # [start, end): each a symbol or an integer; all symbols in it
    exclude: tuple[str, ...] = ()  # not these symbols
    sections: tuple[str, ...] = ("*",)  # only references from these sections
    skip: tuple[str, ...] = (".eh_frame",)  # none from these
    kinds: tuple[str, ...] = KINDS  # kinds of sites that become rows
    leave: tuple[str, ...] = ()  # kinds that are counted and left alone; any other kind is an error


@dataclass(frozen=True)
class Output:
    """What the rows become."""

    template: str = "tables.S.j2"
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
    def symbol_part(self) -> str:
        return self.name.replace("-", "_")


def find(name: str, base: Path) -> Rule:
    """The rule `name`: one that ships, or a TOML file (relative to `base`). Raises BuildplugError."""
    names = {path.stem: path for path in sorted(shipped("rules").glob("*.toml"))}
    path = names.get(name, base / name)
    if name not in names and not (name.endswith(".toml") or "/" in name):
        raise unknown(base, "rule", name, names)
    rule = convert(Rule, load(path), str(path))
    if not rule.name.replace("-", "_").isidentifier() or not rule.name.isascii():
        raise BuildplugError(path, f"name: expected letters, digits and '-', found {rule.name!r}", "rename the rule")
    for kind in (*rule.select.kinds, *rule.select.leave):
        if kind not in (*KINDS, *LEFT_KINDS):
            raise unknown(f"{path}: select", "kind", kind, (*KINDS, *LEFT_KINDS))
    for name_ in (rule.section.removeprefix("."), rule.symbol):
        if not name_.replace(".", "_").isidentifier() or not name_.isascii():
            raise BuildplugError(f"{path}: table", f"expected a C identifier, found {name_!r}", "rename it")
    if not (rule.select.functions or rule.select.slots or rule.select.ranges):
        raise BuildplugError(f"{path}: select", "expected functions, slots or ranges, found none", "add one")
    return rule
