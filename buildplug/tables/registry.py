"""All formats, and the lookup by rule. To add a format, add a module and an entry here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.files import replacing
from buildplug.base.schema import unknown
from buildplug.config.rule import Rule
from buildplug.image.headers import Array
from buildplug.tables.format import Contents, Format


def _sites() -> Format:
    from buildplug.tables.sites import SitesFormat

    return SitesFormat()


def _rows() -> Format:
    from buildplug.tables.fields import RowsFormat

    return RowsFormat()


def _ksyms() -> Format:
    from buildplug.tables.ksyms import KsymsFormat

    return KsymsFormat()


def _relocs() -> Format:
    from buildplug.tables.relocs import RelocsFormat

    return RelocsFormat()


def _kallsyms() -> Format:
    from buildplug.tables.kallsyms import KallsymsFormat

    return KallsymsFormat()


# By name. A link imports the formats of its own tables only: all together are slow to import.
FORMATS: dict[str, Callable[[], Format]] = {
    "sites": _sites, "rows": _rows, "ksyms": _ksyms, "relocs": _relocs, "kallsyms": _kallsyms,
    "kallsyms-6-12": _kallsyms, "kallsyms-7-3": _kallsyms,
}  # fmt: skip

SAVED: dict[Any, tuple[Callable[[Any], Array], Callable[[Array], Any]]] = {  # type of a field -> to an array, and back
    Array: (np.asarray, np.asarray),
    bytes: (lambda data: np.frombuffer(data, "u1"), lambda kept: kept.tobytes()),
    int: (lambda value: np.array(str(value)), lambda kept: int(kept.item())),  # as text: of any size and sign
    tuple[int, ...]: (lambda values: np.array(list(map(str, values))), lambda kept: tuple(map(int, kept.tolist()))),
    tuple[str, ...]: (np.array, lambda kept: tuple(kept.tolist())),
    dict[str, Array]: (
        lambda columns: np.rec.fromarrays([*columns.values()], [(name, c.dtype) for name, c in columns.items()]),
        lambda kept: {name: kept[name] for name in kept.dtype.names or ()},
    ),
}


def every() -> list[Format]:
    """All formats."""
    return [made() for made in FORMATS.values()]


def format_of(rule: Rule) -> Format:
    """The format of a rule's table. Raises BuildplugError if it is unknown, or does not support what the rule
    selects."""
    where = f"rule {rule.name}: table"
    if rule.format not in FORMATS:
        raise unknown(f"{where}.format", "format", rule.format, FORMATS)
    format = FORMATS[rule.format]()
    if format.has_fields != bool(rule.table.fields):
        found = "some" if rule.table.fields else "none"
        raise BuildplugError(where, f"expected fields for format rows, and no other, found {found}")
    if format.rows not in ("", rule.select.rows):
        raise BuildplugError(where, f"format {rule.format} is not for {rule.select.rows}", "add fields")
    return format


def template_of(rule: Rule) -> str:
    """The name of the template that renders a rule's table. Raises BuildplugError."""
    format = format_of(rule)
    return rule.table.template or format.template


def save(contents: Contents, path: Path) -> None:
    """Saves contents, including names, for another process."""
    hints = get_type_hints(type(contents)).items()
    kept = {name: SAVED[hint][0](getattr(contents, name)) for name, hint in hints if hint in SAVED}
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, **kept)


def load(path: Path, rule: Rule, arch: Arch) -> Contents:
    """Loads what save() wrote. Raises BuildplugError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            kind, given = format_of(rule).contents, {"rule": rule, "arch": arch}
            hints = get_type_hints(kind).items()
            return kind(
                **{name: SAVED[hint][1](archive[name]) if hint in SAVED else given[name] for name, hint in hints}
            )
    except BuildplugError:
        raise
    except Exception as error:  # parsers may raise anything on corrupt bytes
        raise BuildplugError(path, f"expected extracted contents, found {error!r:.60}", "remove it") from None
