"""The kernel's symbol table: address -> name, and name -> addresses. Defines the format; ksyms_codec has the codec.

Like the table of sites_format, it is position-independent, packed, in the machine's byte order, and defined only here:

    ksyms (the header), sections, blocks, index (u4 each: where a block of names starts), starts of tokens (u2 each),
    types, ranks, order (if by name), places, names, text of the tokens, zero padding to a multiple of 8, bases

Symbols are sorted by (section, offset, size, name, type). A *place* locates one. Its first byte: in the low four bits
the number of its type (15: the letter follows), in the high four bits the distance from the end of the previous symbol
(15: a varint follows, the distance from its start). Then the size, a varint. Varints are LEB128. Each section starts a
new block.

Names are sorted bytewise; a name of several symbols is repeated. They are those of the symbols and, if the rule says
`raw`, the mangled ones by which symbols are looked up, too: at most one a symbol. A name is the number of leading bytes
shared with the previous name (0 for the first in a block), then codes. A code stands for a token; the code of an empty
token means that a literal byte follows; only code 0 is used so. Names end with a zero byte, which is part of their last
token. Tokens that end a name have the highest codes, so a name can be skipped without decoding it. No other token has a
zero byte: the check looks once, so that lookups need not, and copy tokens by words.

Ranks (symbol -> name) and order (name -> symbol) are bit-packed to the width of the largest rank. Without mangled names
they are permutations. Without the order, a table is smaller but cannot look up names.

Measured by `python -m bench.ksyms` with the 48,024 symbols of a small Linux, relative to its kallsyms (without sizes):
0.77 of the bytes (727,240 to 938,880; without the order 631,192), 0.93 of the instructions to find an address (1,696 to
1,816), 0.18 of those to look up a name (4,463 to 24,538), about half the time from symbols to object, Python's start
included. Prefix sharing with tokens is smaller than tokens alone (kallsyms), which pays for the ranks. Larger blocks
would save bytes but cost instructions. Sizes cost little: most symbols start near the end of the previous one. Merging
many byte pairs at a time is faster.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.image.headers import Array, sorting
from buildplug.image.names import Names
from buildplug.tables.binary import Records, dtypes

MAGIC = 0x534B5042  # "BPKS", little-endian
VERSION = 2
BY_NAME = 1  # header flag: the table has the order, so names can be looked up
ABSOLUTE = 1  # section flag: the base is an address, not relative to the table (per-CPU offsets)
BLOCK = 8  # places per block
NAMES = 8  # names per block
SHARED = 255  # maximum bytes that a name shares with the previous one
TOKENS = 256
LITERAL = 15  # in either half of a place's first byte: the value follows
ALPHABET, RARE = 128, 8192  # single-byte tokens: maximum number; minimum frequency, one in so many
SAMPLE = 1 << 17  # approximate number of bytes that tokens are derived from
LONGEST = 4095  # maximum bytes of a name, without the terminating zero
MIX = 0x9E3779B97F4A7C15  # checksum factor: odd, so that a change of any one word is detected
RUN = 1024  # words of a checksum that are added up at a time

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
        ("raw", "u4", "count of names by which symbols are looked up besides their own; none has two"),
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

# Results of the check, in the order of its tests. In the C header: BP_KSYMS_OK and so on.
ERRORS = {
    "ok": "a table",
    "bad_place": "no room for a table, or not aligned to 8 bytes",
    "bad_magic": "no table where one was expected",
    "bad_version": "table of another version or another machine",
    "bad_head": "checksum of the header is wrong",
    "bad_size": "counts and size disagree",
    "bad_body": "checksum is wrong",
    "bad_tokens": "tokens end names where their codes do not",
}

ROW = np.dtype([("section", "u4"), ("offset", "u8"), ("size", "u8"), ("type", "u1")])  # nm's letter is the type
SECTION = np.dtype([("size", "u8"), ("flags", "u4"), ("base", "u8")])  # the base modulo 2**64


dtype = dtypes(RECORDS)


@frozen
class Ksyms:
    """A table, from collect() or decode(). `bases`: dtype Arch.base_type, section address minus table address."""

    arch: Arch
    sections: Array  # dtype ksyms_section
    bases: Array
    rows: Array  # dtype ROW, sorted as symbols are
    known: Names  # of the rows
    ranks: Array  # of each row: its name's index in the order of names
    by_name: bool
    raw: tuple[bytes, ...] = ()  # of the rows, if any has one: a second name, or nothing
    section_names: tuple[str, ...] = ()  # for messages and anchors; not encoded

    @cached_property
    def names(self) -> tuple[bytes, ...]:
        """The names of the rows."""
        return tuple(self.known.texts())

    @cached_property
    def order(self) -> Array:
        """Row indices in the order of names: if two are equal, first the row's own, then by row."""
        if not self.raw:
            return inverse(self.ranks)
        second = sorted((row for row, name in enumerate(self.raw) if name), key=self.raw.__getitem__)
        order = np.empty(len(self.rows) + len(second), "u4")
        own = np.zeros(len(order), bool)
        own[self.ranks] = True
        order[self.ranks], order[~own] = np.arange(len(self.rows)), second
        return order

    @cached_property
    def text(self) -> bytes:
        """All names in their order, each with a zero byte behind it."""
        return b"\0".join([*self.spelled, b""]) if self.raw else self.known.joined(self.order)

    @cached_property
    def spelled(self) -> tuple[bytes, ...]:
        """All names in their order."""
        if not self.raw:
            return tuple(self.known.texts(self.order))
        own = self.ranks[self.order] == np.arange(len(self.order))
        pairs = zip(own.tolist(), self.order.tolist(), strict=True)
        return tuple(self.names[row] if first else self.raw[row] for first, row in pairs)

    @cached_property
    def first(self) -> Array:
        """The first row of each section, then the number of rows."""
        return np.append(0, np.cumsum(self.sections["symbols"], dtype="i8"))


def collect(
    arch: Arch, sections: Array, section_names: Sequence[str], rows: Array, names: Names, where: object,
    *, by_name: bool = True, raw: Sequence[bytes] = (),
) -> Ksyms:  # fmt: skip
    """A table of unsorted symbols: rows (dtype ROW), sections (dtype SECTION), and the names of both. `raw`: names by
    which the rows are looked up, too; one that is empty, or the row's own, adds nothing.

    `where` is for messages. Raises BuildplugError for a symbol that the format cannot hold.
    """
    for i in np.flatnonzero(sections["size"] >> np.uint64(32)).tolist():
        found = f"section {section_names[i]}: expected less than 4 GiB, found {sections['size'][i]:#x} bytes"
        raise BuildplugError(where, found, "split it")

    def check(values: Array, most: int, expected: str, remedy: str, least: int = 0) -> None:
        if len(values) and not least <= values.min() <= values.max() <= most:
            i = int(np.argmax((values < least) | (values > most)))
            shown = names.texts(np.array([i]))[0][:80].decode(errors="backslashreplace")
            found = ", ".join(f"{field} {rows[field][i]:#x}" for field in ROW.names or ())
            raise BuildplugError(where, f"symbol {shown}: expected {expected}, found {found}", remedy)

    exclude = "exclude it in the rule"
    check(rows["section"], len(sections) - 1, f"a section below {len(sections)}", exclude)
    check(rows["offset"], (1 << 32) - 1, "an offset below 4 GiB in its section", exclude)
    check(rows["size"], (1 << 32) - 1, "a size below 4 GiB", exclude)
    check(rows["type"], 0x7E, "a letter as its type", "see nm's manual", least=0x21)
    second = Names.of(raw)
    for texts in (names, second) if raw else (names,):
        check(texts.lengths, LONGEST, f"a name of at most {LONGEST} bytes", exclude)

    place = rows["section"].astype("u8") << np.uint64(32) | rows["offset"]
    others = [b"" if two == one else two for one, two in zip(names.texts(), raw, strict=True)] if raw else []
    tie = inverse(Names.of(others).order) if raw else rows["type"]
    first = _untied(sorting(place), place, tie, rows["type"], rows["size"])
    ranks = inverse(names.chosen(first).order)
    place, extent = place[first], rows["size"][first]
    group = np.append(0, np.cumsum((place[1:] != place[:-1]) | (extent[1:] != extent[:-1])))[: len(place)]
    last = _untied(np.arange(len(group)), group, ranks)  # symbols of equal name keep this order, so do their ranks
    order = first[last]
    rows = rows.take(order)
    kept = np.zeros(len(sections), dtype("ksyms_section", arch.byteorder))
    kept["size"], kept["flags"] = sections["size"], sections["flags"]
    kept["symbols"] = np.bincount(rows["section"], minlength=len(sections))
    bases = (sections["base"] & np.uint64(arch.modulus - 1)).astype(arch.base_type)
    in_order, ranks = names.chosen(order), ranks[last]
    kept_raw = tuple(map(others.__getitem__, order.tolist())) if any(others) else ()
    if kept_raw:
        every = [*in_order.texts(), *filter(None, kept_raw)]
        ranks = inverse(Names.of(every).order)[: len(names)]
    return Ksyms(arch, kept, bases, rows, in_order, ranks, by_name, kept_raw, tuple(section_names))


def _untied(order: Array, key: Array, *ties: Array) -> Array:
    """An order of a key; where it is equal, in that of the last of `ties`, and so on. Few are equal, so that
    np.lexsort() of all takes longer."""
    same = np.diff(key[order]) == 0
    tied = np.flatnonzero(np.append(False, same) | np.append(same, False)[: len(order)])
    some = np.sort(order[tied])  # what no tie decides stays as it was
    order[tied] = some[np.lexsort((*(tie[some] for tie in ties), key[some]))]
    return order


def inverse(permutation: Array) -> Array:
    """The inverse of a permutation."""
    undo = np.empty(len(permutation), "u4")
    undo[permutation] = np.arange(len(permutation))
    return undo


def checksum(data: bytes, byteorder: str) -> int:
    """The checksum of 32-bit words w, ((MIX + w0) * MIX + w1) * MIX + ..., modulo 2**64. Length: a multiple of 4."""
    words = np.frombuffer(data, byteorder + "u4").astype("u8")
    powers = np.multiply.accumulate(np.append(np.uint64(1), np.full(RUN, MIX, "u8")))  # wraps on purpose
    first = len(words) % RUN
    found = int(powers[first]) + int(words[:first] @ powers[:first][::-1])
    for run in (words[first:].reshape(-1, RUN) @ powers[-2::-1]).tolist():
        found = (found * int(powers[RUN]) + run) % 2**64
    return found % 2**64


def layout(arch: Arch, head: Array) -> dict[str, int]:
    """The offset of each part of a table in bytes, from its header; `end` is last."""
    symbols, sections = int(head["symbols"]), int(head["sections"])
    names = symbols + int(head["raw"])
    ranks, order = (
        (count * width(names) + 7) // 8 + 4 for count in (symbols, names)
    )  # 4: readers load 5 bytes at once
    parts = {
        "sections": sections * dtype("ksyms_section", arch.byteorder).itemsize,
        "blocks": int(head["blocks"]) * dtype("ksyms_block", arch.byteorder).itemsize,
        "index": -(-names // NAMES) * 4,
        "starts": (TOKENS + 1) * 2,
        "types": LITERAL,
        "ranks": ranks,
        "order": order if int(head["flags"]) & BY_NAME else 0,
        "places": int(head["places"]),
        "names": int(head["names"]),
        "text": int(head["text"]),
    }
    ends = np.cumsum([head.dtype.itemsize, *parts.values()]).tolist()
    bases = -(-ends[-1] // 8) * 8
    return dict(zip(parts, ends, strict=False)) | {"bases": bases, "end": bases + arch.word * sections}


def width(names: int) -> int:
    """Bits needed for numbers below `names`."""
    return max(names - 1, 0).bit_length()
