"""Encodes and decodes symbol tables. Format and rationale: ksyms_format."""

from itertools import pairwise

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.image.headers import Array
from buildplug.image.names import Names
from buildplug.tables.binary import not_a_table
from buildplug.tables.ksyms_format import (
    BLOCK,
    BY_NAME,
    ERRORS,
    LITERAL,
    MAGIC,
    NAMES,
    ROW,
    TOKENS,
    VERSION,
    Ksyms,
    checksum,
    dtype,
    layout,
    width,
)  # fmt: skip
from buildplug.tables.ksyms_names import decoded, encoded


def encode(table: Ksyms) -> bytes:
    """The table's bytes in memory."""
    order, symbols = table.arch.byteorder, len(table.rows)
    blocks, types, places = _places(table.rows, table.sections["symbols"], order)
    index, starts, names, text, endings = encoded(table.text)
    bits = width(len(table.order))
    columns = [_bits(table.ranks, bits), _bits(table.order, bits) if table.by_name else b""]
    head = np.zeros((), dtype("ksyms", order))
    counts = (
        len(table.sections),
        symbols,
        len(table.order) - symbols,
        len(blocks),
        len(places),
        len(names),
        len(text),
        endings,
    )
    for field, value in zip(list(head.dtype.names or ())[6:], (BY_NAME * table.by_name, *counts), strict=True):
        head[field] = value
    parts = [blocks.tobytes(), index.astype(order + "u4").tobytes(), starts.astype(order + "u2").tobytes(), types]
    body = b"".join([table.sections.tobytes(), *parts, *columns, places, names, text])
    body += bytes(-(len(body) + head.dtype.itemsize) % 8)
    head["magic"], head["version"], head["machine"] = MAGIC, VERSION, table.arch.machine
    head["size"], head["body"] = layout(table.arch, head)["end"], checksum(body, order)
    head["head"] = checksum(head.tobytes()[16:], order)
    return head.tobytes() + body + table.bases.tobytes()


def _bits(values: Array, width: int) -> bytes:
    groups = np.zeros((-(-len(values) // 64), 64), "u8")  # each of them takes `width` words
    groups.reshape(-1)[: len(values)] = values
    packed = np.zeros((len(groups), width), "<u8")
    for number in range(64 if width else 0):
        word, shift = divmod(number * width, 64)
        packed[:, word] |= groups[:, number] << np.uint64(shift)
        if shift + width > 64:
            packed[:, word + 1] |= groups[:, number] >> np.uint64(64 - shift)
    return packed.tobytes()[: (len(values) * width + 7) // 8] + bytes(4)


def varints(values: Array) -> tuple[Array, Array]:
    """Values from 0 on as LEB128: bytes, shape (n, as many as the largest takes), and the mask of those in use."""
    bits = int(values.max(initial=0)).bit_length()
    most = max(1, -(-bits // 7))
    kind = "u4" if bits <= 32 else "u8"
    groups = values.astype(kind)[:, None] >> np.arange(0, 7 * most, 7).astype(kind)
    return groups.astype("u1") & 127 | (groups > 127).astype("u1") << 7, (groups > 0) | (np.arange(most) == 0)


def _places(rows: Array, counts: Array, order: str) -> tuple[Array, bytes, bytes]:
    """Blocks, types and places of the symbols."""
    counts = counts.astype("i8")
    blocks = -(-counts // BLOCK)
    first = np.repeat(np.cumsum(counts) - counts - BLOCK * (np.cumsum(blocks) - blocks), blocks)
    starts = first + BLOCK * np.arange(len(first))
    offset, size = rows["offset"].astype("i8"), rows["size"].astype("i8")
    before, end = np.roll(offset, 1), np.roll(offset + size, 1)
    before[starts] = end[starts] = offset[starts]
    gap = offset - end
    near = (gap >= 0) & (gap < LITERAL)
    used = np.bincount(rows["type"], minlength=256)
    types = [letter for letter in np.argsort(-used, kind="stable")[:LITERAL].tolist() if used[letter]]
    number = np.full(256, LITERAL, "u1")
    number[types] = np.arange(len(types))
    kind = number[rows["type"]]
    step, step_used = varints(offset - before)
    extent, extent_used = varints(size)
    info = kind | np.where(near, gap, LITERAL).astype("u1") << 4
    every = np.ones((len(rows), 1), bool)
    chosen = np.hstack((every, (kind == LITERAL)[:, None], step_used & ~near[:, None], extent_used))
    stream = np.hstack((info[:, None], rows["type"][:, None], step, extent))[chosen]
    ends = np.cumsum(np.add.reduceat(chosen.reshape(-1).view("u1"), starts * chosen.shape[1], dtype="i8"))
    placed = np.zeros(len(starts), dtype("ksyms_block", order))
    placed["offset"], placed["at"][1:] = offset[starts], ends[:-1]
    return placed, bytes(types).ljust(LITERAL, b"\0"), stream.tobytes()


def inspect(data: bytes, arch: Arch) -> str:
    """Checks the table at the start of `data`, ignoring bytes after it: a key of ERRORS."""
    order = arch.byteorder
    if len(data) < dtype("ksyms", order).itemsize:
        return "bad_place"
    head = np.frombuffer(data, dtype("ksyms", order), 1)[0]
    if head["magic"] != MAGIC:
        return "bad_magic"
    if head["version"] != VERSION or head["machine"] != arch.machine:
        return "bad_version"
    if head["head"] != checksum(data[16 : head.dtype.itemsize], order):
        return "bad_head"
    at = layout(arch, head)
    if head["size"] != at["end"] or at["end"] > len(data) or head["raw"] > head["symbols"]:
        return "bad_size"
    if head["body"] != checksum(data[head.dtype.itemsize : at["bases"]], order):
        return "bad_body"
    return "ok" if _sound(*_tokens_of(data, head, at, order), int(head["endings"])) else "bad_tokens"


def _tokens_of(data: bytes, head: Array, at: dict[str, int], order: str) -> tuple[list[int], bytes]:
    """Where each token starts, then where the last one ends, and their text."""
    starts: list[int] = np.frombuffer(data, order + "u2", TOKENS + 1, at["starts"]).tolist()
    return starts, data[at["text"] : at["text"] + int(head["text"])]


def _sound(starts: list[int], text: bytes, endings: int) -> bool:
    """Whether the tokens are one behind another in the text, code 0 has none, and each code from `endings` on has one
    that ends with its only zero byte, but no other has one.
    """
    if starts != sorted(starts) or starts[0] != starts[1] or starts[-1] > len(text):
        return False
    tokens = [text[start:end] for start, end in pairwise(starts)]
    return all(
        token.find(b"\0") == (len(token) - 1 if code >= endings else -1) and (token or code < endings)
        for code, token in enumerate(tokens)
    )


def decode(data: bytes, arch: Arch, where: object) -> Ksyms:
    """The table at the start of `data`; bytes after it are ignored. Raises BuildplugError."""

    def bad(problem: str) -> BuildplugError:
        return not_a_table(where, "a table of symbols", problem)

    error, order = inspect(data, arch), arch.byteorder
    if error != "ok":
        raise bad(f"{error} ({ERRORS[error]})")
    head = np.frombuffer(data, dtype("ksyms", order), 1)[0]
    at, symbols, by_name = layout(arch, head), int(head["symbols"]), bool(head["flags"] & BY_NAME)
    count = symbols + int(head["raw"])
    sections = np.frombuffer(data, dtype("ksyms_section", order), head["sections"], at["sections"])
    counts = sections["symbols"].astype("i8")
    in_blocks = -(-counts // BLOCK)
    if (counts.sum(), in_blocks.sum()) != (symbols, head["blocks"]):
        raise bad("sections with other counts than the table")
    blocks = np.frombuffer(data, dtype("ksyms_block", order), head["blocks"], at["blocks"])
    number = np.arange(len(blocks)) - np.repeat(np.cumsum(in_blocks) - in_blocks, in_blocks)
    filled = np.minimum(np.repeat(counts, in_blocks) - number * BLOCK, BLOCK)
    rows = _unplaced(data[at["places"] : at["names"]], blocks, filled, data[at["types"] : at["ranks"]])
    if rows is None:
        raise bad("places that do not decode")
    index = np.frombuffer(data, order + "u4", -(-count // NAMES), at["index"])
    starts, text = _tokens_of(data, head, at, order)
    tokens = [text[start:end] for start, end in pairwise(starts)]
    names = decoded(data[at["names"] : at["text"]], tokens, index.tolist(), int(head["endings"]))
    if names is None or len(names) != count:
        raise bad("names that do not decode")
    ranks = _unbits(data[at["ranks"] :], symbols, width(count))
    listed = _unbits(data[at["order"] :], count, width(count)) if by_name else np.sort(ranks)
    own = np.zeros(count, bool)
    own[ranks[ranks < count]] = True
    if own.sum() != symbols or (listed >= symbols).any() or (count > symbols and not by_name):
        raise bad("ranks that are not those of the names")
    rows["section"] = np.repeat(np.arange(len(sections)), counts)
    bases = np.frombuffer(data, arch.base_type, head["sections"], at["bases"])
    second = {row: names[rank] for rank, row in zip(np.flatnonzero(~own).tolist(), listed[~own].tolist(), strict=True)}
    raw = tuple(second.get(row, b"") for row in range(symbols)) if second else ()
    known = Names.of([*map(names.__getitem__, ranks.tolist())])
    table = Ksyms(arch, sections, bases, rows, known, ranks, by_name, raw)
    if not np.array_equal(listed, table.order if by_name else np.arange(symbols)):
        raise bad("an order that is not that of the ranks")
    return table


def _unbits(data: bytes, count: int, width: int) -> Array:
    bits = np.unpackbits(np.frombuffer(data, "u1", (count * width + 7) // 8), bitorder="little")
    rows = np.zeros((count, 32), "u1")
    rows[:, :width] = bits[: count * width].reshape(count, width)
    return np.packbits(rows, axis=1, bitorder="little").view("<u4")[:, 0].astype("u4")


def _unplaced(stream: bytes, blocks: Array, filled: Array, types: bytes) -> Array | None:
    """The rows of blocks with `filled` symbols each, decoded place by place in all blocks at once; None if invalid."""
    data, limit = np.frombuffer(stream + bytes(12), "u1").astype("i8"), len(stream)
    at, offset, size = blocks["at"].astype("i8"), blocks["offset"].astype("i8"), np.zeros(len(blocks), "i8")
    rows, wide = np.zeros((len(blocks), BLOCK), ROW), np.zeros(len(blocks), bool)

    def take(chosen: Array, *, more: bool = False) -> Array:
        """Reads a byte (`more`: a varint) in each chosen block and advances its position."""
        value, shift = np.zeros(len(blocks), "i8"), 0
        while chosen.any() and shift < 35:
            byte = data[np.minimum(at, limit)]
            value[chosen] |= (byte[chosen] & (127 if more else 255)) << shift
            at[chosen] += 1
            chosen, shift = chosen & (byte > 127) & more, shift + 7
        return value

    for i in range(BLOCK):
        live = filled > i
        info = take(live)
        literal = take(live & (info & 15 == LITERAL))
        stepped = live & (info >> 4 == LITERAL)
        offset = np.where(stepped, offset + take(stepped, more=True), offset + size + (info >> 4))
        size = take(live, more=True)
        wide |= live & ((offset | size) >> 32 > 0)
        letters = np.frombuffer(types + bytes(1), "u1")[info & 15]
        for field, value in (("offset", offset), ("size", size), ("type", np.where(literal > 0, literal, letters))):
            rows[field][:, i] = np.where(live, value, 0)
    if not np.array_equal(at, np.append(blocks["at"][1:], limit)[: len(blocks)]) or wide.any():
        return None
    found: Array = rows[np.arange(BLOCK) < filled[:, None]]
    return found
