"""The table of fields to relocate when an image slides: format and encoder. select/relocations.py finds the fields.

Like the table of sites_format, it is position-independent, packed, in the machine's byte order, and defined only here:

    relocs (the header), sections, fields, zero padding to a multiple of 8, bases (a machine word each)

Sections are sorted by address, fields by offset. A field is a LEB128 number: the distance in bytes from the end of the
previous field in its section, or from the section's start, times four, plus its encoding. Most take one byte.
"""

import sys

import numpy as np

from buildplug.arch.field import FIELDS
from buildplug.arch.model import Arch
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.config.select import Relocations
from buildplug.image.elf import Image
from buildplug.image.headers import Array, distinct, sorting
from buildplug.select.relocations import FIELD, fields
from buildplug.tables.binary import Records, address_of, dtypes
from buildplug.tables.format import Source
from buildplug.tables.integers import CTYPE
from buildplug.tables.ksyms_codec import varints
from buildplug.tables.ksyms_format import MIX, checksum
from buildplug.tables.packed import Packed, PackedFormat

MAGIC = 0x4C525042  # "BPRL", little-endian
VERSION = 2
ENCODING_BITS = 2  # low bits of a field's number: rel32, abs32, abs32s or abs64
LONGEST = 5  # maximum bytes of a number
SIZES = np.array([field.size for field in FIELDS])
LIMIT = (1 << 32) - 1  # maximum bytes of a section

RECORDS: Records = {
    "relocs": (
        ("magic", "u4", "BP_RELOCS_MAGIC"),
        ("version", "u2", "BP_RELOCS_VERSION"),
        ("machine", "u2", "e_machine"),
        ("checksum", "u8", "of what follows, up to the bases"),
        ("size", "u4", "of the whole table, bytes"),
        ("sections", "u4", "count"),
        ("fields", "u4", "count"),
        ("bytes", "u4", "of the fields' numbers"),
    ),
    "relocs_section": (
        ("size", "u4", "bytes, up to the end of its last field"),
        ("fields", "u4", "count: the fields follow in the order of the sections"),
    ),
}

# Results of relocation at boot, in the order of its checks. In the C header: BP_RELOCS_OK and so on.
ERRORS = {
    "ok": "done",
    "bad_place": "no room for a table in the image, or not aligned to 8 bytes",
    "bad_magic": "no table where one was expected",
    "bad_version": "table of another version or another machine",
    "bad_size": "counts and size disagree",
    "bad_checksum": "checksum is wrong",
    "bad_bounds": "a section lies outside the image, out of order, or on the table",
    "bad_field": "a field lies outside its section, or its number is none",
    "overflow": "a field cannot hold its address after the slide",
}


dtype = dtypes(RECORDS)
SUMMED = 16  # offset of what the checksum is of


def sizes(arch: Arch, sections: int, bytes_: int) -> tuple[int, int, int]:
    """Offsets of the fields and the bases in a table, and its size, in bytes, from the counts."""
    at_fields = dtype("relocs", "<").itemsize + dtype("relocs_section", "<").itemsize * sections
    at_bases = -(-(at_fields + bytes_) // 8) * 8
    return at_fields, at_bases, at_bases + arch.word * sections


def encode(arch: Arch, extents: Array, bases: Array, rows: Array) -> bytes:
    """The table of sorted `rows`, dtype FIELD, `section` counting from 0. `extents`: bytes of each section up to the
    end of its last field; `bases`: section address minus table address; shape (sections,)."""
    section, start = rows["section"].astype("i8"), rows["offset"].astype("i8")
    end = start + SIZES[rows["encoding"]]
    before = np.where(section == np.roll(section, 1), np.roll(end, 1), 0)
    before[:1] = 0
    numbers, used = varints((start - before) << ENCODING_BITS | rows["encoding"])
    body = numbers[used].tobytes()
    records = np.zeros(len(extents), dtype("relocs_section", arch.byteorder))
    records["size"], records["fields"] = extents, np.bincount(section, minlength=len(extents))
    at_fields, at_bases, size = sizes(arch, len(records), len(body))
    values = (MAGIC, VERSION, arch.machine, 0, size, len(records), len(rows), len(body))
    head = np.array(values, dtype("relocs", arch.byteorder))
    rest = records.tobytes() + body + bytes(at_bases - at_fields - len(body))
    head["checksum"] = checksum(head.tobytes()[SUMMED:] + rest, arch.byteorder)
    return head.tobytes() + rest + bases.astype(arch.base_type).tobytes()


class RelocsFormat(PackedFormat):
    name = "relocs"
    rows = "relocations"
    records = RECORDS
    counted = "fields"

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Packed, dict[str, int]]:
        return relocs_of(image, rule), {}

    def empty(self, rule: Rule, arch: Arch) -> Packed:
        none = np.zeros(0, "u8")
        return Packed(rule, arch, encode(arch, none, none, np.zeros(0, FIELD)), 0, ())

    def runtime(self, arch: Arch, *, has_ops: bool) -> dict[str, Source]:
        own = sys.modules[__name__]
        values = {
            "arch": arch,
            "ctype": CTYPE,
            "whole_fields": FIELDS[: 1 << ENCODING_BITS],
            "relocs": own,
            "mix": MIX,
        }
        return {name: Source(f"{name}.j2", values) for name in ("relocs.h", "relocs.c")}


def relocs_of(image: Image, rule: Rule) -> Packed:
    """The table of the fields that `rule` selects from an image. Raises BuildplugError."""
    at = address_of(image, rule)
    rows = fields(image, rule)
    used = sorted((image.sections[index] for index in distinct(rows["section"]).tolist()), key=lambda s: s.address)
    number = np.zeros(len(image.sections), "u4")
    number[[section.index for section in used]] = np.arange(len(used))
    rows["section"] = number[rows["section"]]
    rows = rows.take(sorting(rows["offset"], rows["section"]))
    end = rows["offset"] + SIZES[rows["encoding"]].astype("u8")
    last = np.append(rows["section"][:-1] != rows["section"][1:], True)[: len(rows)]
    limits = np.array([min(s.size, LIMIT) * (not rule.select_as(Relocations).fixed.get(s.name)) for s in used], "u8")
    limits = np.where(last, limits[rows["section"]], np.roll(rows["offset"], -1))
    wrong = np.flatnonzero((end > limits) | (rows["encoding"] >> ENCODING_BITS > 0))
    if len(wrong):
        row = rows[wrong[0]]
        raise image.bad(
            f"rule {rule.name}: {used[row['section']].name}+{int(row['offset']):#x}: expected a field of 32 bits or an "
            f"absolute one of 64, apart from the next, in a section whose bytes are where its address says, found "
            f"{FIELDS[row['encoding']].name} of {image.name_of(int(row['symbol']))}",
            "exclude the symbol, or skip the section",
        )
    starts = np.array([section.address for section in used], "u8")
    data = encode(image.arch, end[last], starts - np.uint64(at), rows)
    return Packed.of(rule, image.arch, data, len(rows), tuple(section.name for section in used))
