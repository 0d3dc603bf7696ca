"""The reference for the boot-time fixup: the steps of templates/runtime/fixup.c.j2, in the same order, on a file.

Addresses are link addresses. The two share no code; tests compare their results byte for byte.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.files import write as write_file
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.memory import Memory, Status, memory_of
from buildplug.runtime.sites import Sites
from buildplug.tables.sites_format import BACKEND_MAGIC, ERRORS, NONE, backend_checksum, decode, dtype, inspect


def _inspect_backend(work: Sites, at: int, apart: list[tuple[int, int]]) -> Status:
    """Checks a backend by the table's checksum of it; adds what no site may be in to `apart`."""
    arch, table = work.arch, work.table
    head, row = dtype("backend", arch.byteorder), dtype("implementation", arch.byteorder)
    size = head.itemsize + row.itemsize * len(table.ops)
    data = work.memory.read(at, size)
    if not work.inside(at, size) or len(data) < size:
        return Status("bad_magic", 1)
    magic, ops = np.frombuffer(data, head, 1)[0].item()
    if magic != BACKEND_MAGIC or (len(table.ops) and ops != len(table.ops)):
        return Status("bad_magic", 1)
    if not len(table.ops):
        return Status("ok", 0)
    places = [
        (work.base(int(check["backend_section"])) + int(check["backend"])) % arch.modulus for check in table.checks
    ]
    if at not in places:
        return Status("bad_magic", 1)
    check = table.checks[places.index(at)]
    if backend_checksum(data, at, work.base(int(check["code_section"])), arch) != check["checksum"]:
        return Status("bad_checksum", 1)
    table_end = work.at + table.size
    if at < table_end and work.at < at + size:
        return Status("overlap", 1)
    apart.append((at, at + size))
    for number, (function, length) in enumerate(np.frombuffer(data[head.itemsize :], row).tolist()):
        start = (at + head.itemsize + number * row.itemsize + function) % arch.modulus
        if not function or length > max(form.length for form in arch.forms):
            continue
        if not work.inside(start, length):
            return Status("bad_bounds", number)
        if start < table_end and work.at < start + length:
            return Status("overlap", number)
        if length:
            apart.append((start, start + length))
    return Status("ok", 0)


def fixup(
    arch: Arch, memory: Memory, at: int, backend: int, start: int, end: int, *, origin: int = 0, dry: bool = False
) -> Status:  # fmt: skip
    """Redirects every site of the table at address `at` to the backend at `backend`, both inside [start, end).

    Checks everything before it writes anything. `dry`: only checks. `origin`: the backend that the sites have now, 0 if
    they are as linked. A `backend` of 0 restores them.
    """
    if not start <= at <= end:
        return Status("bad_bounds", 0)
    data = memory.read(at, end - at)
    error = inspect(data, arch)
    if error != "ok":
        return Status(error, 0)
    work = Sites(arch, memory, decode(data, arch, f"{at:#x}"), at, origin, backend, start, end)
    sections, ops, checks = work.table.sections, work.table.ops, work.table.checks
    sizes = sections["size"].astype("u8")
    ends = work.bases + sizes
    previous_end = np.append(np.uint64(start), ends[:-1])[: len(ends)]
    outside = (work.bases < previous_end) | (work.bases > end)  # ascending and disjoint
    outside |= np.uint64(end) - work.bases < sizes
    wrong = outside | ((work.bases < at + work.table.size) & (ends > at))
    if wrong.any():
        number = int(wrong.argmax())
        return Status("bad_bounds" if outside[number] else "overlap", number)
    wrong = np.zeros(len(ops), bool)
    for which in ("function", "slot"):
        section = ops[f"{which}_section"]
        limits = np.append(sizes, np.uint64(0))[np.minimum(section, len(sizes))]
        wrong |= (section != NONE) & (ops[which] >= limits)
    if wrong.any():
        return Status("bad_bounds", int(wrong.argmax()))
    wrong = np.maximum(checks["backend_section"], checks["code_section"]) >= len(sections)
    if wrong.any():
        return Status("bad_bounds", int(wrong.argmax()))
    apart: list[tuple[int, int]] = []
    for given in (origin, backend):
        status = _inspect_backend(work, given, apart) if given else Status("ok", 0)
        if status.error != "ok":
            return status
    return replace(work, apart=tuple(apart)).walk(dry=dry)


def apply(image: Image, table_symbol: str, backend_symbol: str, output: Path) -> int:
    """Writes the image as it is in memory after the fixup to `output`; returns the number of sites.

    Raises BuildplugError if the image lacks the table or the backend, or if the fixup returns an error.
    """
    addresses = []
    for symbol, what in ((table_symbol, "table"), (backend_symbol, "backend")):
        address = image.address_of(symbol)
        if address is None:
            raise image.bad(f"expected the {what} {symbol}, found no such symbol", "name one that the image has")
        addresses.append(address)
    memory, start, end = memory_of(image)
    status = fixup(image.arch, memory, addresses[0], addresses[1], start, end)
    if status.error != "ok":
        raise image.bad(
            f"{table_symbol}, entry {status.entry}: expected a table that matches the image, found {status.error}"
            f" ({ERRORS[status.error]})"
        )
    data = bytearray(image.data.tobytes())
    with_content = [s for s in image.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    for section, (_, content) in zip(with_content, memory.regions, strict=True):
        data[section.offset : section.offset + section.size] = content
    write_file(output, bytes(data))
    return len(decode(memory.read(addresses[0], end - addresses[0]), image.arch, image.path).sites)
