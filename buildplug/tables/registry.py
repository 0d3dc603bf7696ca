"""All formats, and the lookup by rule. To add a format, add a module and an entry here."""

from pathlib import Path

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.files import replacing
from buildplug.base.schema import unknown
from buildplug.config.rule import Rule
from buildplug.tables.fields import RowsFormat
from buildplug.tables.format import Contents, Format
from buildplug.tables.kallsyms import KallsymsFormat
from buildplug.tables.ksyms import KsymsFormat
from buildplug.tables.relocs import RelocsFormat
from buildplug.tables.sites import SitesFormat

FORMATS: dict[str, Format] = {
    format.name: format for format in (SitesFormat(), RowsFormat(), KsymsFormat(), RelocsFormat(), KallsymsFormat())
}


def format_of(rule: Rule) -> Format:
    """The format of a rule's table. Raises BuildplugError if it is unknown, or does not support what the rule
    selects."""
    where = f"rule {rule.name}: table"
    if rule.format not in FORMATS:
        raise unknown(f"{where}.format", "format", rule.format, FORMATS)
    format = FORMATS[rule.format]
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
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, **contents.arrays())


def load(path: Path, rule: Rule, arch: Arch) -> Contents:
    """Loads what save() wrote. Raises BuildplugError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return format_of(rule).from_arrays(rule, arch, dict(archive))
    except BuildplugError:
        raise
    except Exception as error:  # parsers may raise anything on corrupt bytes
        raise BuildplugError(path, f"expected extracted contents, found {error!r:.60}", "remove it") from None
