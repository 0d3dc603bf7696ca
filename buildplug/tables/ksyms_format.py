"""The table of a kernel's symbols: address -> name, and name -> addresses. Format, encoder, decoder, lookups.

Like table.py's it is position-independent, packed, in the byte order of the machine, and this is its one definition:

    ksyms (the header), sections, blocks, index (u4 each: where a block of names starts), starts of tokens (u2 each),
    types, ranks, order (if by name), places, names, text of the tokens, zeros up to a multiple of 8, bases

Symbols are in the order of (section, offset, size, name, type). A *place* says where one lies. Its first byte has the
number of its type (15: the letter follows) and, in the high four bits, how far it starts behind the end of the one
before (15: as a varint, how far behind its start); then the size, a varint. Varints are LEB128. A section starts a
block.

Names are in the order of their bytes; one that several symbols have is there as often. A name is the number of bytes
that it shares with the one before (in a block's first: 0), then codes. A code stands for a token; that of an empty
token for the byte that follows. A zero ends the name, and tokens contain it like any byte. So the codes that end a
name are known by their number, and a name is skipped without being decoded.

Ranks (symbol -> name) and order (name -> symbol) are permutations, as many bits a number as the largest needs. Without
the order a table is smaller, and cannot look up names.

Why so, by `python -m bench.ksyms` with the 48,024 symbols of a small Linux, beside its kallsyms, which has no sizes:
0.77 of the bytes (727,240 to 938,880; without the order 631,192), 0.93 of the instructions to find an address (1,696 to
1,816), 0.18 of those to look up a name (4,463 to 24,538), about half of the seconds from symbols to object, Python's
start included. Tokens alone, as kallsyms has them, leave more than sharing and tokens together, and that pays for the
ranks. Larger blocks would save bytes and cost instructions. Sizes cost little: with them the next symbol is mostly near
the end of the last. Many pairs of bytes are merged at a time, as that is faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.image.headers import Array
from buildplug.tables.binary import Records, dtypes

MAGIC = 0x534B5042  # "BPKS" in the order of its bytes, little-endian
VERSION = 1
BY_NAME = 1  # in the header's flags: the table has the order, so that names can be looked up
ABSOLUTE = 1  # in a section's flags: its base is its address, not relative to the table (per-CPU offsets)
BLOCK = 8  # places in a block
NAMES = 8  # names in a block
SHARED = 255  # the most bytes that a name takes from the one before
TOKENS = 256
LITERAL = 15  # in a place's first byte, either half: the value follows
ALPHABET, RARE = 128, 8192  # bytes with a token of their own: at most so many; one in so many at least
SAMPLE = 1 << 17  # bytes that tokens are made from, about
LONGEST = 4095  # the longest name, bytes: a buffer of one more holds any
MIX = 0x9E3779B97F4A7C15  # the checksum's factor: odd, so that no change of one word goes unnoticed

RECORDS: Records = {
    "ksyms": (
        ("magic", "u4", "BP_KSYMS_MAGIC"),
        ("version", "u2", "BP_KSYMS_VERSION"),
        ("machine", "u2", "e_machine"),
        ("head", "u8", "checksum of the rest of this record"),
        ("body", "u8", "checksum of what follows this record, up to the bases"),
        ("size", "u4", "of the whole table, bytes"),
        ("flags", "u4", "BP_KSYMS_BY_NAME"),
        ("sections", "u4", "count"),
        ("symbols", "u4", "count"),
        ("blocks", "u4", "count: of each section as many as its symbols need"),
        ("places", "u4", "bytes"),
        ("names", "u4", "bytes"),
        ("text", "u4", "bytes"),
        ("endings", "u4", "the first code whose token ends a name: those behind it do, too"),
    ),
    "ksyms_section": (
        ("size", "u4", "bytes"),
        ("symbols", "u4", "count"),
        ("flags", "u4", "BP_KSYMS_ABSOLUTE"),
    ),
    "ksyms_block": (
        ("offset", "u4", "of its first symbol in the section, bytes"),
        ("at", "u4", "where its places start"),
    ),
}

# What the check returns, in the order in which it looks. The C header has them as BP_KSYMS_OK and so on.
ERRORS = {
    "ok": "a table",
    "bad_place": "no room for a table, or not aligned to 8 bytes",
    "bad_magic": "no table where one was expected",
    "bad_version": "table of another version or another machine",
    "bad_head": "checksum of the header is wrong",
    "bad_size": "counts and size disagree",
    "bad_body": "checksum is wrong",
}

ROW = np.dtype([("section", "u4"), ("offset", "u8"), ("size", "u8"), ("type", "u1")])  # the last: nm's letter


dtype = dtypes(RECORDS)


@dataclass(frozen=True)
class Ksyms:
    """A table, as collect() and decode() make it. `bases`: of Arch.base_type, a section's address minus the table's."""

    arch: Arch
    sections: Array  # dtype ksyms_section
    bases: Array
    rows: Array  # dtype ROW, in the order of symbols
    names: tuple[bytes, ...]  # of the rows
    ranks: Array  # of the rows: the place of each in the order of names
    by_name: bool
    section_names: tuple[str, ...] = ()  # not in the binary: for messages and anchors

    @cached_property
    def order(self) -> Array:
        """The rows in the order of their names."""
        return inverse(self.ranks)

    @cached_property
    def first(self) -> Array:
        """The first row of each section, and the number of rows."""
        return np.append(0, np.cumsum(self.sections["symbols"], dtype="i8"))


def collect(
    arch: Arch, sections: Sequence[tuple[str, int, int, int]], rows: Array, names: Sequence[bytes], where: object,
    *, by_name: bool = True,
) -> Ksyms:  # fmt: skip
    """A table of symbols in any order: rows of ROW and a name each; sections: (name, size, flags, base) each.

    `where` is what messages name. Raises BuildplugError for what the format cannot hold.
    """
    for name, size, *_ in sections:
        if size >> 32:
            raise BuildplugError(where, f"section {name}: expected less than 4 GiB, found {size:#x} bytes", "split it")

    def bad(wrong: Array, expected: str, remedy: str) -> None:
        if wrong.any():
            i = int(np.argmax(wrong))
            shown = names[i][:80].decode(errors="backslashreplace")
            found = ", ".join(f"{field} {rows[field][i]:#x}" for field in ROW.names or ())
            raise BuildplugError(where, f"symbol {shown}: expected {expected}, found {found}", remedy)

    lengths = np.fromiter(map(len, names), "i8", len(names))
    bad(rows["section"] >= len(sections), f"a section below {len(sections)}", "exclude it in the rule")
    bad(rows["offset"] >> np.uint64(32) > 0, "an offset below 4 GiB in its section", "exclude it in the rule")
    bad(rows["size"] >> np.uint64(32) > 0, "a size below 4 GiB", "exclude it in the rule")
    bad((rows["type"] < 0x21) | (rows["type"] > 0x7E), "a letter as its type", "see nm's manual")
    bad(lengths > LONGEST, f"a name of at most {LONGEST} bytes", "exclude it in the rule")
    if b"\0" in b"".join(names):
        bad(np.array([b"\0" in name for name in names]), "a name without zero bytes", "exclude it in the rule")

    place = rows["section"].astype("u8") << np.uint64(32) | rows["offset"]
    first = np.lexsort((rows["type"], rows["size"], place))
    named = list(map(names.__getitem__, first.tolist()))
    ranks = inverse(np.array(sorted(range(len(names)), key=named.__getitem__), "u4"))
    rows = rows[first]
    place, extent = place[first], rows["size"]
    group = np.append(0, np.cumsum((place[1:] != place[:-1]) | (extent[1:] != extent[:-1]))).astype("u8")
    last = np.argsort(group << np.uint64(32) | ranks)  # a name's symbols stay in this order, so its ranks do
    kept = np.zeros(len(sections), dtype("ksyms_section", arch.byteorder))
    kept["size"], kept["flags"] = [section[1] for section in sections], [section[2] for section in sections]
    kept["symbols"] = np.bincount(rows["section"], minlength=len(sections))
    bases = np.array([arch.signed(section[3]) for section in sections], arch.base_type)
    in_order = tuple(map(named.__getitem__, last.tolist()))
    return Ksyms(arch, kept, bases, rows[last], in_order, ranks[last], by_name, tuple(s[0] for s in sections))


def inverse(permutation: Array) -> Array:
    """The permutation that undoes another."""
    undo = np.empty(len(permutation), "u4")
    undo[permutation] = np.arange(len(permutation))
    return undo


def checksum(data: bytes, byteorder: str) -> int:
    """The checksum of a multiple of 4 bytes: of the words w, ((MIX + w0) * MIX + w1) * MIX + ..., modulo 2**64."""
    words = np.frombuffer(data, byteorder + "u4").astype("u8")
    powers = np.cumprod(np.append(np.uint64(1), np.full(len(words), MIX, "u8")))  # wraps, as it is to
    return (int((words * powers[-2::-1]).sum()) + int(powers[-1])) % 2**64


def layout(arch: Arch, head: Array) -> dict[str, int]:
    """Where each part of a table starts, bytes, by its header; the end is the last."""
    symbols, sections = int(head["symbols"]), int(head["sections"])
    column = (symbols * width(symbols) + 7) // 8 + 4  # so that a reader can take 5 bytes at once
    parts = {
        "sections": sections * dtype("ksyms_section", arch.byteorder).itemsize,
        "blocks": int(head["blocks"]) * dtype("ksyms_block", arch.byteorder).itemsize,
        "index": -(-symbols // NAMES) * 4,
        "starts": (TOKENS + 1) * 2,
        "types": LITERAL,
        "ranks": column,
        "order": column if int(head["flags"]) & BY_NAME else 0,
        "places": int(head["places"]),
        "names": int(head["names"]),
        "text": int(head["text"]),
    }
    ends = np.cumsum([head.dtype.itemsize, *parts.values()]).tolist()
    bases = -(-ends[-1] // 8) * 8
    return dict(zip(parts, ends, strict=False)) | {"bases": bases, "end": bases + arch.word * sections}


def width(symbols: int) -> int:
    """Bits of a number below `symbols`."""
    return max(symbols - 1, 0).bit_length()
