"""All formats, and the lookup by rule. To add a format, add a module and an entry here."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from buildplug.base.errors import BuildplugError
from buildplug.base.schema import unknown
from buildplug.config.rule import Rule

if TYPE_CHECKING:
    from buildplug.tables.format import Format  # which imports numpy: a build names its files before it needs that


def _sites() -> "Format":
    from buildplug.tables.sites import SitesFormat

    return SitesFormat()


def _rows() -> "Format":
    from buildplug.tables.fields import RowsFormat

    return RowsFormat()


def _ksyms() -> "Format":
    from buildplug.tables.ksyms import KsymsFormat

    return KsymsFormat()


def _relocs() -> "Format":
    from buildplug.tables.relocs import RelocsFormat

    return RelocsFormat()


def _kallsyms() -> "Format":
    from buildplug.tables.kallsyms import KallsymsFormat

    return KallsymsFormat()


class Known(NamedTuple):
    """A format, and what is known of it before it is imported: all together are slow to import, and a link imports
    those of its own tables only. template: the default for rules."""

    load: "Callable[[], Format]"
    template: str


KALLSYMS = Known(_kallsyms, "kallsyms_table.S.j2")
FORMATS = {
    "sites": Known(_sites, "tables.S.j2"), "rows": Known(_rows, "rows.S.j2"), "ksyms": Known(_ksyms, "packed.S.j2"),
    "relocs": Known(_relocs, "packed.S.j2"), "kallsyms": KALLSYMS, "kallsyms-6-12": KALLSYMS, "kallsyms-7-3": KALLSYMS,
}  # fmt: skip


def every() -> "list[Format]":
    """All formats."""
    return [known.load() for known in FORMATS.values()]


def format_of(rule: Rule) -> "Format":
    """The format of a rule's table. Raises BuildplugError if it is unknown, or does not support what the rule
    selects."""
    format, where = _known(rule).load(), f"rule {rule.name}: table"
    if format.has_fields != bool(rule.table.fields):
        found = "some" if rule.table.fields else "none"
        raise BuildplugError(where, f"expected fields for format rows, and no other, found {found}")
    if format.rows not in ("", rule.select.rows):
        raise BuildplugError(where, f"format {rule.format} is not for {rule.select.rows}", "add fields")
    return format


def template_of(rule: Rule) -> str:
    """The name of the template that renders a rule's table. Raises BuildplugError."""
    return rule.table.template or _known(rule).template


def _known(rule: Rule) -> Known:
    if rule.format not in FORMATS:
        raise unknown(f"rule {rule.name}: table.format", "format", rule.format, FORMATS)
    return FORMATS[rule.format]
