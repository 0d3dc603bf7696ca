"""The only definition of the site table's format: the Python codec uses it, the C header is generated from it.

A table is position-independent: every address is a section and an offset in it, and section addresses are relative to
the table. It needs no relocation at boot and stays valid when sections move. Layout, packed, in the machine's byte
order:

    table (the header), sections, ops, checks (of backends), sites, zero padding to a multiple of 8, bases (a machine
    word each)

The checksum covers everything from its end up to the bases, which the linker fills in. Backends lie outside the
table; for each the table has a checksum, of values that a link does not change.
"""

from dataclasses import field
from typing import Any

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.ops import OP_BITS
from buildplug.image.headers import Array
from buildplug.tables.binary import Records, dtypes, not_a_table
from buildplug.tables.format import rounded

MAGIC = 0x42545042  # "BPTB", little-endian
BACKEND_MAGIC = 0x45425042  # "BPBE"
VERSION = 2
NONE = 0xFFFF  # in place of a section: the op has no function, or no slot
NOT_INLINE = 0xFFFFFFFF  # length of an implementation that must be called
DEFAULT = 0xFFFFFFFF  # in place of a function in a backend's checksum: the op's default
CHECKSUM_FACTOR = 0x9E3779B1  # odd: multiplication is a bijection

RECORDS: Records = {
    "table": (
        ("magic", "u4", "BP_MAGIC"),
        ("checksum", "u4", "of what follows, up to the bases"),
        ("size", "u4", "of the whole table, bytes"),
        ("version", "u2", "BP_VERSION"),
        ("machine", "u2", "e_machine"),
        ("sections", "u2", "count"),
        ("ops", "u2", "count"),
        ("sites", "u4", "count"),
        ("forms", "u4", "BP_FORMS"),
        ("backends", "u2", "count"),
        ("reserved", "u2", "0"),
    ),
    "section": (
        ("size", "u4", "bytes"),
        ("sites", "u4", "count: the sites follow in the order of the sections"),
    ),
    "op": (
        ("function", "u4", "the default implementation: offset in its section"),
        ("slot", "u4", "the slot: offset in its section"),
        ("function_section", "u2", "index, or BP_NONE"),
        ("slot_section", "u2", "index, or BP_NONE"),
    ),
    "check": (
        ("backend", "i4", "the backend: relative to its section"),
        ("checksum", "u4", "of its words, with functions as offsets in the section of its code"),
        ("backend_section", "u2", "index"),
        ("code_section", "u2", "index"),
    ),
    "site": (
        ("offset", "u4", "in the section, bytes; ascending"),
        ("info", "u2", "form << BP_OP_BITS | op"),
    ),
    "backend": (
        ("magic", "u4", "BP_BACKEND_MAGIC"),
        ("ops", "u4", "count: as many implementations follow"),
    ),
    "implementation": (
        ("function", "i4", "relative to this record; 0: the op's default"),
        ("length", "u4", "of the function's code that can stand inline, bytes; BP_NOT_INLINE"),
    ),
}

# Results of the fixup, in the order of its checks. In the C header: BP_OK and so on.
ERRORS = {
    "ok": "done",
    "bad_magic": "no table or no backend where one was expected",
    "bad_version": "table of another version or another machine",
    "bad_size": "counts and size disagree",
    "bad_checksum": "checksum is wrong",
    "bad_bounds": "a section or an op lies outside the image",
    "overlap": "table, backend, inline code, sections and sites overlap",
    "bad_site": "site of no known form or op, or out of order",
    "bad_bytes": "site does not hold what the table says",
    "no_function": "neither backend nor kernel has a function for the op",
    "out_of_range": "function is out of reach of the site",
    "split": "part of an address, of which another site is the rest",
}


dtype = dtypes(RECORDS)


@frozen
class Table:
    """A table. Arrays have the dtypes of RECORDS; bases: dtype Arch.base_type, section minus table address."""

    arch: Arch
    sections: Array
    ops: Array
    sites: Array
    bases: Array
    section_names: tuple[str, ...] = ()  # for messages, comments and anchors; not encoded
    op_names: tuple[str, ...] = ()
    checks: Array = field(default_factory=lambda: np.zeros(0, dtype("check", "<")))
    blob = None
    parts = ()

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sizes(self.arch, len(self.sections), len(self.ops), len(self), len(self.checks))[3]

    @property
    def bases_at(self) -> int:
        return self.size - self.arch.word * len(self.section_names)

    @property
    def room(self) -> int:
        return rounded(self.size)

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def site_sections(self) -> Array:
        """The section number of each site, shape as sites."""
        return np.repeat(np.arange(len(self.sections)), self.sections["sites"])

    def rows(self, at: int, modulus: int) -> list[tuple[int, int, int]]:
        """The sites of a table at address `at`: (address, form, op) each."""
        bases = [(at + int(base)) % modulus for base in self.bases]
        places = zip(self.site_sections.tolist(), self.sites.tolist(), strict=True)
        return [(bases[s] + offset, info >> OP_BITS, info & ((1 << OP_BITS) - 1)) for s, (offset, info) in places]

    def encode(self) -> bytes:
        """The table's bytes in memory."""
        return head(self).tobytes() + _body(self) + self.bases.tobytes()

    def describe(self, at: int) -> str:
        """Which part of the table the byte at offset `at` belongs to."""
        start, end = sizes(self.arch, len(self.sections), len(self.ops), len(self), len(self.checks))[1:3]
        return f"site {(at - start) // self.sites.dtype.itemsize}" if start <= at < end else "its head or its bases"

    def context(self) -> dict[str, Any]:
        """The template's variables: the table, its header, and its sites with names for comments."""
        places = zip(self.site_sections.tolist(), self.sites.tolist(), strict=True)
        sites = [
            {
                "section": self.section_names[section],
                "offset": offset,
                "info": info,
                "form": self.arch.forms[info >> OP_BITS].name,
                "op": self.op_names[info & ((1 << OP_BITS) - 1)],
            }
            for section, (offset, info) in places
        ]
        return {"table": self, "head": head(self), "sites": sites, "records": RECORDS}


def empty(arch: Arch) -> Table:
    """The table of the draft link: with it, a kernel runs every op's default."""
    none = {name: np.zeros(0, dtype(name, arch.byteorder)) for name in ("section", "op", "site")}
    return Table(arch, none["section"], none["op"], none["site"], np.zeros(0, arch.base_type))


def checksum(data: bytes, byteorder: str) -> int:
    """The checksum of 32-bit words; length a multiple of 4. Each word is mixed in by a bijection, so a change of any
    one word is detected."""
    value = 0
    for word in np.frombuffer(data, byteorder + "u4").tolist():
        value ^= word
        value = (value << 5 | value >> 27) * CHECKSUM_FACTOR & 0xFFFFFFFF
    return value


def backend_checksum(data: bytes, at: int, code: int, arch: Arch) -> int:
    """The checksum of a backend at address `at`, whose bytes are `data`; `code`: the address of the section from which
    its functions are measured."""
    order = arch.byteorder
    start, size = (dtype(name, order).itemsize for name in ("backend", "implementation"))
    rows = np.frombuffer(data[start : start + (len(data) - start) // size * size], dtype("implementation", order))
    places = np.arange(len(rows), dtype="i8") * size + (at + start - code) % (1 << 32)
    words = np.zeros((len(rows), 2), order + "u4")
    words[:, 0] = np.where(rows["function"] != 0, (places + rows["function"]) & 0xFFFFFFFF, DEFAULT)
    words[:, 1] = rows["length"]
    return checksum(data[:start] + words.tobytes(), order)


def sizes(arch: Arch, sections: int, ops: int, sites: int, checks: int = 0) -> tuple[int, int, int, int]:
    """Offsets of ops, sites and bases in a table, and its size, in bytes, from the counts. The checks end at the
    sites."""
    item = {name: dtype(name, arch.byteorder).itemsize for name in ("table", "section", "op", "check", "site")}
    at_ops = item["table"] + item["section"] * sections
    at_sites = at_ops + item["op"] * ops + item["check"] * checks
    at_bases = -(-(at_sites + item["site"] * sites) // 8) * 8
    return at_ops, at_sites, at_bases, at_bases + arch.word * sections


def head(table: Table) -> Array:
    """The header record of a table, shape ()."""
    counts = len(table.sections), len(table.ops), len(table.sites)
    size = sizes(table.arch, *counts, len(table.checks))[3]
    last = (table.arch.forms_digest, len(table.checks), 0)
    values = (MAGIC, 0, size, VERSION, table.arch.machine, *counts, *last)
    row = np.array(values, dtype("table", table.arch.byteorder))
    row["checksum"] = checksum((row.tobytes() + _body(table))[8:], table.arch.byteorder)
    return row


def _body(table: Table) -> bytes:
    body = table.sections.tobytes() + table.ops.tobytes() + table.checks.tobytes() + table.sites.tobytes()
    return body + bytes(-(len(body) + dtype("table", table.arch.byteorder).itemsize) % 8)


def inspect(data: bytes, arch: Arch) -> str:
    """Checks the header of the table at the start of `data`, ignoring bytes after it: a key of ERRORS."""
    order = arch.byteorder
    if len(data) < dtype("table", order).itemsize:
        return "bad_bounds"
    row = np.frombuffer(data, dtype("table", order), 1)[0]
    if row["magic"] != MAGIC:
        return "bad_magic"
    if (row["version"], row["machine"], row["forms"]) != (VERSION, arch.machine, arch.forms_digest):
        return "bad_version"
    _, _, at_bases, size = sizes(arch, *_counts(row))
    if row["size"] != size or size > len(data):
        return "bad_size"
    if row["checksum"] != checksum(data[8:at_bases], order):
        return "bad_checksum"
    total = np.frombuffer(data, dtype("section", order), row["sections"], dtype("table", order).itemsize)
    return "ok" if int(total["sites"].sum(dtype="u8")) == row["sites"] else "bad_size"


def decode(data: bytes, arch: Arch, where: object) -> Table:
    """The table at the start of `data`; bytes after it are ignored. Raises BuildplugError."""
    error = inspect(data, arch)
    if error != "ok":
        raise not_a_table(where, "a table", f"{error} ({ERRORS[error]})")
    order = arch.byteorder
    row = np.frombuffer(data, dtype("table", order), 1)[0]
    at_ops, at_sites, at_bases, _ = sizes(arch, *_counts(row))
    at_checks = at_sites - dtype("check", order).itemsize * int(row["backends"])
    at_sections = dtype("table", order).itemsize
    return Table(
        arch,
        np.frombuffer(data, dtype("section", order), row["sections"], at_sections),
        np.frombuffer(data, dtype("op", order), row["ops"], at_ops),
        np.frombuffer(data, dtype("site", order), row["sites"], at_sites),
        np.frombuffer(data, arch.base_type, row["sections"], at_bases),
        checks=np.frombuffer(data, dtype("check", order), row["backends"], at_checks),
    )


def _counts(row: Any) -> tuple[int, int, int, int]:
    return int(row["sections"]), int(row["ops"]), int(row["sites"]), int(row["backends"])
