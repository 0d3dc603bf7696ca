"""Symbols selected by a rule -> a table in the format of ksyms_format."""

import numpy as np

from buildplug.arch.model import Arch
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.demangle import demangled
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_ALLOC, Array, distinct
from buildplug.image.names import Names
from buildplug.image.symbols import letters
from buildplug.select.symbols import left_out, selected
from buildplug.tables import ksyms_codec, ksyms_format
from buildplug.tables.binary import address_of
from buildplug.tables.format import Source
from buildplug.tables.integers import CTYPE, RUST_TYPE
from buildplug.tables.ksyms_format import Ksyms
from buildplug.tables.packed import Packed, PackedFormat

EVERYWHERE = (("address", np.uint64(0)), ("size", np.uint64(2**64 - 1)))  # a section that has all addresses


class KsymsFormat(PackedFormat):
    name = "ksyms"
    rows = "symbols"
    records = ksyms_format.RECORDS
    counted = "symbols"

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Packed, dict[str, int]]:
        return _encoded(rule, collected(image, rule, address_of(image, rule))), left_out(image, rule)

    def empty(self, rule: Rule, arch: Arch) -> Packed:
        rows, sections = np.zeros(0, ksyms_format.ROW), np.zeros(0, ksyms_format.SECTION)
        return _encoded(rule, ksyms_format.collect(arch, sections, (), rows, Names.of(()), rule.name))

    def runtime(self, arch: Arch, *, has_ops: bool) -> dict[str, Source]:
        values = {"arch": arch, "ctype": CTYPE, "ksyms": ksyms_format}
        return {name: Source(f"{name}.j2", values) for name in ("ksyms.h", "ksyms.c")}

    def rust(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        values = {"rule": rule, "arch": arch, "rust_type": RUST_TYPE, "ksyms": ksyms_format}
        return {f"{rule.symbol}.rs": Source("ksyms.rs.j2", values)}


def _encoded(rule: Rule, table: Ksyms) -> Packed:
    fixed = int((table.sections["flags"] & ksyms_format.ABSOLUTE > 0).sum())  # they come last
    names = table.section_names[: len(table.sections) - fixed]
    return Packed.of(rule, table.arch, ksyms_codec.encode(table), len(table.rows), names, fixed)


def collected(image: Image, rule: Rule, at: int) -> Ksyms:
    """The symbols that `rule` selects, for a table at address `at`. Only sections with symbols are kept; those that do
    not move with the kernel come last. Absolute symbols are in sections of size 0, 4 GiB apart.

    A symbol whose address is outside its section, as linker scripts and assembly assign them, goes to the last section
    that starts at or before it. If there is none, as for physical addresses of a kernel that is linked high, it is kept
    as an absolute symbol.
    """
    chosen, count = selected(image, rule), len(image.sections)
    values = image.symbols["value"][chosen]
    home = np.minimum(image.symbols["section"][chosen], count).astype("i8")  # an absolute symbol has no section
    starts, sizes = (np.append(image.headers[field].astype("u8"), last) for field, last in EVERYWHERE)
    outside = np.flatnonzero(values - starts.take(home) > sizes.take(home))
    absolute = np.flatnonzero(home == count)
    home[absolute] += _high(values[absolute])
    loaded = np.flatnonzero(image.headers["flags"] & SHF_ALLOC)
    loaded = loaded[np.argsort(starts[loaded], kind="stable")]
    before = np.searchsorted(starts[loaded], values[outside], "right")
    home[outside] = np.where(before, np.append(0, loaded)[before], count + _high(values[outside]))
    used = distinct(home)
    real, number = used < count, np.searchsorted(used, home)
    known = used[real]
    fixed = [name.encode() for name in rule.select.fixed] if rule.select.rows == "symbols" else []
    sections = np.zeros(len(used), ksyms_format.SECTION)
    sections["base"][~real] = (used[~real] - count).astype("u8") << np.uint64(32)
    sections["base"][real], sections["size"][real] = starts[known], sizes[known]
    sections["flags"] = ksyms_format.ABSOLUTE
    sections["flags"][real] *= image.sections.table.among(fixed)[known]
    rows = np.zeros(len(chosen), ksyms_format.ROW)
    rows["offset"] = values - sections["base"].take(number)
    rows["size"], rows["type"] = image.symbols["size"][chosen], letters(image)[chosen]
    order = np.argsort(sections["flags"], kind="stable")
    rows["section"] = ksyms_format.inverse(order).take(number)
    sections["base"][sections["flags"] == 0] -= np.uint64(at)
    section_names = [*map([*image.sections.names, "*ABS*"].__getitem__, np.minimum(used, count)[order].tolist())]
    names, raw = image.name_table.chosen(chosen), list[bytes]()
    if rule.table.raw:
        raw = [name if len(name) <= ksyms_format.LONGEST else b"" for name in names.texts()]
    return ksyms_format.collect(
        image.arch, sections.take(order), section_names, rows, _readable(names, rule) if rule.table.demangle else names,
        f"rule {rule.name}", by_name=rule.table.by_name, raw=raw,
    )  # fmt: skip


def _high(values: Array) -> Array:
    """The upper halves of addresses."""
    return (values >> np.uint64(32)).astype("i8")


def _readable(names: Names, rule: Rule) -> Names:
    """The readable forms of names; one whose form is too long for the format stays as it is."""
    texts = names.texts()
    readable = demangled(texts, hashes=rule.table.hashes, trim=rule.table.trim)
    return Names.of(
        [new if len(new) <= ksyms_format.LONGEST else old for old, new in zip(texts, readable, strict=True)]
    )
