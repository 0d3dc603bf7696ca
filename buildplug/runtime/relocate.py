"""The reference for relocation at boot: the steps of templates/runtime/relocs.c.j2, in the same order, on memory.

Addresses are run-time addresses. The two share no code; tests compare their results byte for byte.
"""

from collections.abc import Callable

import numpy as np

from buildplug.arch.field import FIELDS
from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.image.headers import Array
from buildplug.runtime.memory import Memory, Status, get, put
from buildplug.tables.ksyms_format import checksum
from buildplug.tables.relocs import ENCODING_BITS, LONGEST, MAGIC, SUMMED, VERSION, dtype, sizes


@frozen
class _Table:
    sections: Array
    bases: Array
    fields: bytes  # encoded numbers, see _number()


def _inspect(arch: Arch, memory: Memory, at: int, start: int, end: int) -> tuple[str, int, _Table | None]:
    """Checks a table except for its fields: an error or "ok", the number of the wrong section, and the table."""
    order = arch.byteorder
    if at % 8 or not (start <= at <= end and end - at >= dtype("relocs", order).itemsize):
        return "bad_place", 0, None
    data = memory.read(at, end - at)
    head = np.frombuffer(data, dtype("relocs", order), 1)[0]
    if head["magic"] != MAGIC:
        return "bad_magic", 0, None
    if (head["version"], head["machine"]) != (VERSION, arch.machine):
        return "bad_version", 0, None
    count = int(head["sections"])
    at_fields, at_bases, size = sizes(arch, count, int(head["bytes"]))
    if head["size"] != size or size > len(data):
        return "bad_size", 0, None
    if head["checksum"] != checksum(data[SUMMED:at_bases], order):
        return "bad_checksum", 0, None
    sections = np.frombuffer(data, dtype("relocs_section", order), count, dtype("relocs", order).itemsize)
    bases = np.frombuffer(data, arch.base_type, count, at_bases)
    if int(sections["fields"].sum(dtype="u8")) != head["fields"]:
        return "bad_size", 0, None
    previous_end = start
    for number, length in enumerate(sections["size"].tolist()):
        base = (at + int(bases[number])) % arch.modulus
        on_table = base < at + size and base + length > at
        if not previous_end <= base <= end or end - base < length or on_table:
            return "bad_bounds", number, None
        previous_end = base + length
    return "ok", 0, _Table(sections, bases, data[at_fields : at_fields + int(head["bytes"])])


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """The number at offset `at`, 7 bits a byte, and the offset of the next; None at the end or if it is too long."""
    value = 0
    for shift, byte in enumerate(data[at : at + LONGEST]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    return None, at


def _walk(
    arch: Arch, memory: Memory, at: int, table: _Table, slide: int, write: Callable[[int, bytes], None] | None
) -> Status:
    """Checks all fields; also writes them if `write` is given."""
    entry, done = 0, 0
    for section, (size, count) in enumerate(table.sections.tolist()):
        previous_end = 0
        for _ in range(count):
            number, done = _number(table.fields, done)
            if number is None:
                return Status("bad_field", entry)
            field = FIELDS[number & ((1 << ENCODING_BITS) - 1)]
            offset, width = previous_end + (number >> ENCODING_BITS), field.size
            if width > arch.word or offset + width > size:
                return Status("bad_field", entry)
            location = (at + int(table.bases[section]) + offset) % arch.modulus
            content = memory.read(location, width)
            address = get(arch, field, content, location)
            # the field has moved already, so a relative one gives a target that has moved, too
            address += -slide if field.relative else slide
            changed = put(arch, field, content, location, address % arch.modulus)
            if changed is None:
                return Status("overflow", entry)
            if write is not None:
                write(location, changed)
            previous_end, entry = offset + width, entry + 1
    return Status("ok", 0) if done == len(table.fields) else Status("bad_field", entry)


def relocate(arch: Arch, memory: Memory, at: int, start: int, end: int, slide: int) -> Status:
    """Relocates every field of the table at address `at`, in an image that is now in [start, end), `slide` bytes from
    its link address. Checks everything before it writes anything."""
    error, entry, table = _inspect(arch, memory, at, start, end)
    if table is None:
        return Status(error, entry)
    status = _walk(arch, memory, at, table, slide, None)
    return status if status.error != "ok" else _walk(arch, memory, at, table, slide, memory.write)
