"""The reference for the boot-time fixup: the steps of templates/runtime/fixup.c.j2, in the same order, on a file.

Addresses are link addresses. The two share no code; tests compare their results byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from buildplug.arch.form import Form
from buildplug.arch.model import Arch
from buildplug.base.files import write as write_file
from buildplug.config.ops import OP_BITS
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.memory import Memory, Status, memory_of, put
from buildplug.tables.sites_format import BACKEND_MAGIC, ERRORS, NONE, Table, backend_checksum, decode, dtype, inspect


def _pad(arch: Arch, code: bytes, length: int) -> bytes:
    while len(code) < length:
        code += arch.nops[min(length - len(code), len(arch.nops) - 1)]
    return code


@dataclass(frozen=True)
class _Fixup:
    arch: Arch
    memory: Memory
    table: Table
    at: int  # address of the table
    origin: int  # address of the backend that the sites have now; 0: as linked
    backend: int  # address of the backend that they get; 0: as linked
    start: int  # of the image
    end: int
    apart: tuple[tuple[int, int], ...] = ()  # start and end of what no site may be in: backends and their inline code

    def inside(self, at: int, size: int) -> bool:
        """Whether `size` bytes at `at` are in the image."""
        return self.start <= at <= self.end and self.end - at >= size

    def base(self, section: int) -> int:
        return (self.at + int(self.table.bases[section])) % self.arch.modulus

    def make(self, backend: int, form: Form, number: int, site: int, found: bytes) -> tuple[str, bytes]:
        """The bytes of a site for a backend (0: as linked), and an error or "ok". `found`: its present bytes."""
        op = self.table.ops[number]
        record = dtype("implementation", self.arch.byteorder)
        at_implementation = backend + dtype("backend", self.arch.byteorder).itemsize + record.itemsize * number
        offered, code_length = 0, 0
        if backend:
            implementation = self.memory.read(at_implementation, record.itemsize).ljust(record.itemsize, b"\0")
            offered, code_length = np.frombuffer(implementation, record)[0].item()
        which = "slot" if form.kind.slot else "function"
        section = int(op[f"{which}_section"])
        if section == NONE:
            return "bad_site", b""
        function = 0
        if not backend:
            function = (self.base(section) + int(op[which])) % self.arch.modulus
        elif offered:
            function = (at_implementation + offered) % self.arch.modulus
        elif op["function_section"] != NONE:
            function = (self.base(int(op["function_section"])) + int(op["function"])) % self.arch.modulus
        if not function:
            return "no_function", b""

        if not (backend and form.kind.inline):
            own = form.own.to_bytes(form.length, "little")
            code = bytes(c | f & o for c, o, f in zip(form.code, own, found, strict=False))
            return self.refer(form, code, site, function)
        ret = self.arch.ret if form.kind.returns else b""
        if offered and code_length + len(ret) <= form.length:
            if not self.inside(function, code_length):
                return "bad_bounds", b""
            code = self.memory.read(function, code_length) + ret
        else:
            direct = self.arch.direct[form.kind.returns]
            error, code = self.refer(direct, direct.code, site, function)
            if error != "ok":
                return error, b""
        return "ok", _pad(self.arch, code, form.length)

    def refer(self, form: Form, code: bytes, site: int, function: int) -> tuple[str, bytes]:
        """The bytes of a site, `code`, with the address of a function in its field; and an error or "ok"."""
        changed = put(self.arch, form.field, code[form.at :], site + form.pc, function)
        if changed is None:
            return "out_of_range", b""
        return "ok", code[: form.at] + changed + code[form.at + len(changed) :]

    def redirect(self, form: Form, number: int, site: int) -> tuple[str, bytes, bytes]:
        """An error or "ok", the new bytes of a site, and its present ones, which must be the expected ones."""
        found = self.memory.read(site, form.length)
        error, before = self.make(self.origin, form, number, site, found)
        if error != "ok":
            return "bad_bytes" if not self.origin and error == "out_of_range" else error, b"", b""
        return (
            ("bad_bytes", b"", b"") if before != found else (*self.make(self.backend, form, number, site, found), found)
        )

    def walk(self, write: Callable[[int, bytes], None] | None) -> Status:
        """Checks all sites; also writes them if `write` is given."""
        entry, forms = 0, self.arch.forms
        for section, record in enumerate(self.table.sections):
            size, previous_end = int(record["size"]), 0
            for offset, info in self.table.sites[entry : entry + int(record["sites"])].tolist():
                form, op = info >> OP_BITS, info & ((1 << OP_BITS) - 1)
                if (
                    form >= len(forms)
                    or op >= len(self.table.ops)
                    or not previous_end <= offset <= size - forms[form].length
                ):
                    return Status("bad_site", entry)
                previous_end = offset + forms[form].length
                site = (self.base(section) + offset) % self.arch.modulus
                if any(site < stop and start < site + forms[form].length for start, stop in self.apart):
                    return Status("overlap", entry)
                error, code, found = self.redirect(forms[form], op, site)
                if error != "ok":
                    return Status(error, entry)
                if write is not None and code != found:
                    write(site, code)
                entry += 1
        return Status("ok", 0)


def _inspect_backend(work: _Fixup, at: int, apart: list[tuple[int, int]]) -> Status:
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
    table_end = work.at + len(table.encode())
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
    work = _Fixup(arch, memory, decode(data, arch, f"{at:#x}"), at, origin, backend, start, end)
    previous_end, table_end = start, at + len(work.table.encode())
    for number, record in enumerate(work.table.sections):
        base = work.base(number)
        if base < previous_end or not work.inside(base, int(record["size"])):  # ascending and disjoint
            return Status("bad_bounds", number)
        if base < table_end and at < base + int(record["size"]):
            return Status("overlap", number)
        previous_end = base + int(record["size"])
    for number, op in enumerate(work.table.ops):
        for which in ("function", "slot"):
            section = int(op[f"{which}_section"])
            if section != NONE and (
                section >= len(work.table.sections) or op[which] >= work.table.sections[section]["size"]
            ):
                return Status("bad_bounds", number)
    for number, check in enumerate(work.table.checks):
        for which in ("backend_section", "code_section"):
            if check[which] >= len(work.table.sections):
                return Status("bad_bounds", number)
    apart: list[tuple[int, int]] = []
    for given in (origin, backend):
        status = _inspect_backend(work, given, apart) if given else Status("ok", 0)
        if status.error != "ok":
            return status
    work = replace(work, apart=tuple(apart))
    status = work.walk(None)
    return status if status.error != "ok" or dry else work.walk(memory.write)


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
