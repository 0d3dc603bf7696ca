"""The sites of a table, for the reference of the fixup: the bytes that they hold and those that they get.

All sites of a form are taken at once, as there may be very many. An error counts for the first site that has one, and
of several at one site the first in the order of the C code.
"""

from functools import cached_property

import numpy as np

from buildplug.arch.form import Form
from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.ops import OP_BITS
from buildplug.image.groups import groups
from buildplug.image.headers import Array
from buildplug.runtime.memory import Memory, Status
from buildplug.tables.sites_format import ERRORS, NONE, Table, dtype

NAMES = tuple(ERRORS)  # an error's number is its index here
OK, BAD_BOUNDS, OVERLAP, BAD_SITE, BAD_BYTES, NO_FUNCTION, OUT_OF_RANGE = map(
    NAMES.index, ("ok", "bad_bounds", "overlap", "bad_site", "bad_bytes", "no_function", "out_of_range")
)


def _pad(arch: Arch, code: bytes, length: int) -> bytes:
    while len(code) < length:
        code += arch.nops[min(length - len(code), len(arch.nops) - 1)]
    return code


def _unless(error: Array, wrong: Array, number: int) -> Array:
    """The errors, with `number` where something is wrong and there is none yet."""
    return np.where((error == OK) & wrong, number, error)


@frozen
class Sites:
    """The methods take many sites of one form at once: the op of each is `number`, its address `site`, shape (sites,),
    and its present bytes are `found`, shape (sites, length)."""

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

    @cached_property
    def bases(self) -> Array:
        """base() of every section."""
        return self.wrapped(np.uint64(self.at) + self.table.bases.astype("i8").astype("u8"))

    def wrapped(self, addresses: Array) -> Array:
        """Addresses modulo the width of a word."""
        return addresses & np.uint64(self.arch.modulus - 1)

    def linked(self, which: str) -> tuple[Array, Array]:
        """Whether each op has a function or a slot, and its address or 0, shape (ops,)."""
        section = self.table.ops[f"{which}_section"]
        known = section != NONE
        bases = np.append(self.bases, np.uint64(0))[np.where(known, section, len(self.bases))]
        return known, np.where(known, self.wrapped(bases + self.table.ops[which]), np.uint64(0))

    def offered(self, backend: int) -> tuple[Array, Array, Array]:
        """Whether a backend has its own function for each op, its address, and the length of its code."""
        record = dtype("implementation", self.arch.byteorder)
        start = backend + dtype("backend", self.arch.byteorder).itemsize
        rows = np.frombuffer(self.memory.read(start, record.itemsize * len(self.table.ops)), record)
        places = np.uint64(start) + np.arange(len(rows), dtype="u8") * np.uint64(record.itemsize)
        address = self.wrapped(places + rows["function"].astype("i8").astype("u8"))
        return rows["function"] != 0, address, rows["length"].astype("i8")

    def make(self, backend: int, form: Form, number: Array, site: Array, found: Array) -> tuple[Array, Array]:
        """The errors and the bytes of sites for a backend (0: as linked)."""
        known, functions = self.linked("slot" if form.kind.slot else "function")
        own, lengths = np.zeros(len(known), bool), np.zeros(len(known), "i8")
        if backend:
            own, offered, lengths = self.offered(backend)
            functions = np.where(own, offered, self.linked("function")[1])
        function = functions[number]
        error = _unless(np.where(known, OK, BAD_SITE)[number], function == 0, NO_FUNCTION)
        if not (backend and form.kind.inline):
            varying = np.frombuffer(form.own.to_bytes(form.length, "little"), "u1")
            wrong, code = self.refer(form, np.frombuffer(form.code, "u1") | found & varying, site, function)
            return _unless(error, wrong, OUT_OF_RANGE), code
        ret = self.arch.ret_of(form)
        copied = own & (lengths + len(ret) <= form.length)
        direct = self.arch.replacements[self.arch.forms.index(form)]
        called = np.frombuffer(_pad(self.arch, direct.code, form.length), "u1")
        wrong, code = self.refer(direct, np.tile(called, (len(site), 1)), site, function)
        inline, beyond = np.zeros((len(known), form.length), "u1"), np.zeros(len(known), bool)
        for op in np.flatnonzero(copied & (np.bincount(number, minlength=len(known)) > 0)).tolist():
            at, size = int(functions[op]), int(lengths[op])
            beyond[op] = not self.inside(at, size)
            inline[op] = np.frombuffer(_pad(self.arch, self.memory.read(at, size) + ret, form.length), "u1")
        error, copied = _unless(error, beyond[number], BAD_BOUNDS), copied[number]
        code[copied] = inline[number[copied]]
        return _unless(error, wrong & ~copied, OUT_OF_RANGE), code

    def refer(self, form: Form, code: Array, site: Array, function: Array) -> tuple[Array, Array]:
        """Whether a function is out of reach of each site, and the sites' bytes `code` with its address in the
        field."""
        field, part = form.field, slice(form.at, form.at + form.field.size)
        kind = f"{self.arch.byteorder}u{field.size}"
        words = np.ascontiguousarray(code[:, part]).view(kind)[:, 0].astype("u8")
        words, fits = field.put(words, self.wrapped(site + np.uint64(form.pc)), function, self.arch.bits)
        made = code.copy()
        made[:, part] = words.astype(kind)[:, None].view("u1")
        return ~fits, made

    def redirect(self, form: Form, number: Array, site: Array) -> tuple[Array, Array]:
        """The errors and the new bytes of sites, whose present ones must be the expected ones."""
        found, whole = self.memory.gather(site, form.length)
        error, before = self.make(self.origin, form, number, site, found)
        if not self.origin:
            error = np.where(error == OUT_OF_RANGE, BAD_BYTES, error)
        error = _unless(error, ~whole | (before != found).any(axis=1), BAD_BYTES)
        late, code = self.make(self.backend, form, number, site, found)
        return np.where(error == OK, late, error), code

    def walk(self, *, dry: bool) -> Status:
        """Checks all sites, then also writes them unless `dry`."""
        table, forms = self.table, self.arch.forms
        section, offset = table.site_sections, table.sites["offset"].astype("i8")
        form, op = table.sites["info"] >> OP_BITS, table.sites["info"] & ((1 << OP_BITS) - 1)
        length = np.array([*(each.length for each in forms), 0])[np.minimum(form, len(forms))]
        previous_end = np.append(0, (offset + length)[:-1])[: len(offset)]
        previous_end[np.append(True, section[1:] != section[:-1])[: len(offset)]] = 0
        known = (form < len(forms)) & (op < len(table.ops))
        known &= (previous_end <= offset) & (offset <= table.sections["size"].astype("i8")[section] - length)
        count = int(np.append(known, False).argmin())  # of the sites before the first that is not known
        site = self.wrapped(self.bases[section[:count]] + offset[:count].astype("u8"))
        error = np.where(self.meets_apart(site, length[:count]), OVERLAP, OK)
        if step := self.arch.instruction:
            code = ~np.array([each.kind.data for each in forms])[form[:count]]
            error[code & (site % np.uint64(step) != 0)] = BAD_SITE
        changes = []
        for number, chosen in groups(form[:count]):
            wrong, made = self.redirect(forms[number], op[chosen], site[chosen])
            error[chosen] = np.where(error[chosen] == OK, wrong, error[chosen])
            changes.append((site[chosen], made))
        error = np.append(error, BAD_SITE if count < len(known) else OK)
        entry = int((error != OK).argmax())
        if error[entry] == OK and not dry:
            for places, made in changes:
                self.memory.scatter(places, made)
        return Status(NAMES[error[entry]], entry)

    def meets_apart(self, site: Array, length: Array) -> Array:
        """Whether each site overlaps what no site may be in."""
        starts, ends = np.array(sorted(self.apart), "u8").reshape(-1, 2).T
        farthest = np.append(np.maximum.accumulate(ends), np.uint64(0))  # the last is for sites before all of it
        met: Array = farthest[np.searchsorted(starts, site + length.astype("u8")) - 1] > site
        return met
