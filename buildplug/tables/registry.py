"""What a rule's table has to hold, whichever format it has: made of an image, kept for a later pass."""

from pathlib import Path

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.files import replacing
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.tables import fields, kallsyms, ksyms, relocs, sites, sites_format
from buildplug.tables.fields import Rows
from buildplug.tables.kallsyms import KallsymsTable
from buildplug.tables.packed import Packed
from buildplug.tables.sites import Resolved
from buildplug.tables.sites_format import Table

Contents = Table | Rows | Packed


def make(image: Image, rule: Rule, ops: Ops | Resolved | None) -> tuple[Contents, dict[str, int]]:
    """The contents that `rule` asks for, true of `image`; and the counts of references left alone, by kind."""
    if rule.format == "ksyms":
        return ksyms.symbols_of(image, rule), {}
    if rule.format == "relocs":
        return relocs.relocs_of(image, rule), {}
    if rule.format == "kallsyms":
        return kallsyms.table_of(image, rule), {}
    return fields.rows_of(image, rule) if rule.format == "rows" else sites.table_of(image, rule, ops)


def empty(rule: Rule, arch: Arch) -> Contents:
    """The contents of the draft link's table."""
    if rule.format == "ksyms":
        return ksyms.empty(rule, arch)
    if rule.format == "relocs":
        return relocs.empty(rule, arch)
    if rule.format == "kallsyms":
        return kallsyms.empty(rule, arch)
    return fields.empty(rule, arch) if rule.format == "rows" else sites_format.empty(arch)


def standing(image: Image, rule: Rule) -> Contents | None:
    """The contents of the table in an image that was linked before, where its format has links with other contents
    differ in nothing but their bytes; else None. Raises BuildplugError."""
    return kallsyms.standing(image, rule) if rule.format == "kallsyms" else None


def alike(one: Contents, other: Contents) -> bool:
    """Whether links with these contents differ in nothing but their bytes."""
    return isinstance(one, KallsymsTable) and isinstance(other, KallsymsTable) and one.shape == other.shape


def save(contents: Contents, path: Path) -> None:
    """Keeps contents with their names."""
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, **contents.arrays())


def load(path: Path, rule: Rule, arch: Arch) -> Contents:
    """What save() kept. Raises BuildplugError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            kept = dict(archive)
        kinds: dict[str, type[Contents]] = {"rows": Rows, "sites": Table, "kallsyms": KallsymsTable}
        return kinds.get(rule.format, Packed).from_arrays(rule, arch, kept)
    except Exception as error:  # the parsers raise whatever the bytes lead them to
        raise BuildplugError(path, f"expected extracted contents, found {error!r:.60}", "remove it") from None
