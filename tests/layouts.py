"""Memory with a table, a backend and the sites that the table names, laid out by hand or from a seed."""

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from buildplug.arch.form import Form
from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.config.ops import OP_BITS
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import Memory, Status
from buildplug.tables.sites_format import BACKEND_MAGIC, NONE, NOT_INLINE, Table, backend_checksum, dtype
from tests import aarch64_code, riscv_code

# Below 2 GiB, which abs32 reaches, and above: only rel32 and abs64. LOW is where no heap of this process grows to.
LOW, HIGH = 0x60000000, 0x200000000
SIZE = 0x1000
FORMS = {form.name: (number, form) for number, form in enumerate(X86_64.forms)}
ALL_FORMS = {
    arch.name: {form.name: (number, form) for number, form in enumerate(arch.forms)} for arch in ARCHES.values()
}
SITES = {"aarch64": aarch64_code.site, "riscv64": riscv_code.site}

Place = tuple[int, int]  # a section's number, an offset in it


@dataclass(frozen=True)
class Op:
    function: Place | None = None
    slot: Place | None = None


@dataclass(frozen=True)
class Site:
    section: int
    offset: int
    form: str
    op: int


@dataclass(frozen=True)
class Way:
    """A backend's way of an op: nothing at `address` is the default, no code a function, empty code "nothing"."""

    address: int = 0
    code: bytes | None = None


@dataclass(frozen=True)
class Layout:
    """`regions` are (address, content); the table and the backend lie in them, and `start` and `end` bound them."""

    regions: tuple[tuple[int, bytes], ...]
    table: Table
    at: int
    backend: int
    start: int
    end: int
    sites: tuple[int, ...]  # their addresses

    def changed(self, address: int, data: bytes) -> "Layout":
        """With other bytes at an address, as far as it has any there."""
        memory = Memory(tuple((start, bytearray(content)) for start, content in self.regions))
        memory.write(address, data[: len(memory.read(address, len(data)))])
        return replace(self, regions=tuple((start, bytes(content)) for start, content in memory.regions))

    def with_table(self, table: Table) -> "Layout":
        """With another table, whose checksum is right."""
        return replace(self.changed(self.at, table.encode()), table=table)

    def with_backends(self, *backends: int) -> "Layout":
        """With right checksums of the backends at these addresses."""
        memory = Memory(tuple((start, bytearray(content)) for start, content in self.regions))
        return self.with_table(with_checks(self.table, self.at, memory, backends))

    def read(self, address: int, size: int) -> bytes:
        return Memory(tuple((start, bytearray(content)) for start, content in self.regions)).read(address, size)

    def fixed(self, *, dry: bool = False) -> tuple[Status, "Layout"]:
        """What the reference makes of it."""
        memory = Memory(tuple((start, bytearray(content)) for start, content in self.regions))
        status = fixup(self.table.arch, memory, self.at, self.backend, self.start, self.end, dry=dry)
        return status, replace(self, regions=tuple((start, bytes(content)) for start, content in memory.regions))

    def switched(self, origin: int, backend: int) -> tuple[Status, "Layout"]:
        """What the reference makes of it if its sites hold what a backend gave them; 0 is none."""
        memory = Memory(tuple((start, bytearray(content)) for start, content in self.regions))
        status = fixup(self.table.arch, memory, self.at, backend, self.start, self.end, origin=origin)
        return status, replace(self, regions=tuple((start, bytes(content)) for start, content in memory.regions))


def field(form: Form, site: int, target: int) -> bytes | None:
    """The field of a site that refers to a target; None if it cannot. Not by way of the reference."""
    value = target - (site + form.pc if form.field.relative else 0)
    try:
        return value.to_bytes(form.field.size, "little", signed=form.field.signed)
    except OverflowError:
        return None


def code_of(arch: Arch, form: Form, site: int, target: int, spare: bytes = bytes(8)) -> bytes | None:
    """The bytes of a site that refers to a target; None if it cannot."""
    if arch.instruction:
        return SITES[arch.name](form, site, target, spare)
    prefix = bytes(c | (s & ~m) for c, m, s in zip(form.opcode, form.mask, spare, strict=False))
    value = field(form, site, target)
    return None if value is None else prefix + value + form.tail


def lay_out(
    regions: Iterable[tuple[int, bytes]], at: int, backend: int, sections: Sequence[tuple[int, int]],
    ops: Sequence[Op], sites: Sequence[Site], ways: Sequence[Way], spare: bytes = bytes(8),
    arch: Arch = X86_64,
) -> Layout:  # fmt: skip
    """Puts table, backend, inline code and sites in the memory. `sections` are (address, size); `sites` are in order
    of section and offset; the bits that a form leaves open come from `spare`."""
    records = np.zeros(len(sections), dtype("section", "<"))
    records["size"] = [size for _, size in sections]
    records["sites"] = [sum(site.section == i for site in sites) for i in range(len(sections))]
    rows = np.zeros(len(ops), dtype("op", "<"))
    for name in ("function", "slot"):
        places = [getattr(op, name) for op in ops]
        rows[name] = [place[1] if place else 0 for place in places]
        rows[f"{name}_section"] = [place[0] if place else NONE for place in places]
    named = np.zeros(len(sites), dtype("site", "<"))
    named["offset"] = [site.offset for site in sites]
    named["info"] = [ALL_FORMS[arch.name][site.form][0] << OP_BITS | site.op for site in sites]
    bases = np.array([address - at for address, _ in sections], arch.base_type)
    table = Table(arch, records, rows, named, bases)

    memory = Memory(tuple((start, bytearray(content)) for start, content in regions))
    way_rows = np.zeros(len(ways), dtype("implementation", "<"))
    record = backend + dtype("backend", "<").itemsize
    for number, way in enumerate(ways):
        place = record + number * way_rows.dtype.itemsize
        way_rows[number] = (
            way.address - place if way.address else 0,
            NOT_INLINE if way.code is None else len(way.code),
        )
        if way.code:
            memory.write(way.address, way.code)
    head = np.array((BACKEND_MAGIC, len(ways)), dtype("backend", "<"))
    memory.write(backend, head.tobytes() + way_rows.tobytes())
    table = with_checks(table, at, memory, [backend])
    memory.write(at, table.encode())
    addresses = []
    for site in sites:
        form, op = ALL_FORMS[arch.name][site.form][1], ops[site.op]
        target = op.slot if form.kind.slot else op.function
        address = sections[site.section][0] + site.offset
        where = sections[target[0]][0] + target[1] if target else address
        memory.write(address, code_of(arch, form, address, where, spare) or form.code)
        addresses.append(address)
    start = min(start for start, _ in memory.regions)
    end = max(start + len(content) for start, content in memory.regions)
    kept = tuple((start, bytes(content)) for start, content in memory.regions)
    return Layout(kept, table, at, backend, start, end, tuple(addresses))


def with_checks(table: Table, at: int, memory: Memory, backends: Sequence[int]) -> Table:
    """The table with the checksums of backends in memory, by way of the section that is nearest to each."""
    arch, rows = table.arch, []
    size = dtype("backend", "<").itemsize + dtype("implementation", "<").itemsize * len(table.ops)
    for backend in backends if len(table.bases) else ():
        homes = [(at + base) % arch.modulus for base in table.bases.tolist()]
        near = min(range(len(homes)), key=lambda number: abs(homes[number] - backend))
        value = backend_checksum(memory.read(backend, size), backend, homes[near], arch)
        rows.append((backend - homes[near], value, near, near))
    return replace(table, checks=np.array(rows, dtype("check", "<")))


def from_seed(rng: random.Random, addresses: Sequence[int], arch: Arch = X86_64) -> Layout:
    """A layout in regions at these addresses: sites of any forms, or many of a few; backends that give anything."""
    regions = [(address, rng.randbytes(SIZE)) for address in addresses]
    blocks = [("table", 0x500), ("backend", 0x80), ("inline", 0x80), ("data", 0x200), ("text", 0x800)]
    homes: dict[str, int] = {}
    sections: list[tuple[int, int]] = []
    for number, address in enumerate(addresses):
        rng.shuffle(blocks)
        at = address
        for name, size in blocks:
            if number == 0:
                homes[name] = at
            if name in ("data", "text"):
                cut = rng.randrange(0, size, 8)
                sections += [(at, cut), (at + cut, size - cut)]
            at += size
    sections.sort()
    roomy = [number for number, (_, size) in enumerate(sections) if size > 32]
    careless = rng.random() < 0.3  # whether what cannot be fixed up may be among it

    unit = 8 if arch.instruction else 1

    def place() -> Place:
        section = rng.choice(roomy)
        return section, rng.randrange(sections[section][1] - 8) & -unit

    ops = []
    for _ in range(rng.randint(1, 6)):
        function = None if careless and rng.random() < 0.15 else place()
        ops.append(Op(function, place() if function is None or rng.random() < 0.7 else None))
    forms = list(ALL_FORMS[arch.name])
    if rng.random() < 0.5:
        forms = rng.sample(forms, 2)
    sites = [site for number in range(len(sections)) for site in _sites(rng, sections, ops, number, arch, forms)]
    ways = []
    for number in range(len(ops)):
        kind = rng.choice(("default", "function", "inline", "inline", "nothing"))
        code = rng.randbytes(rng.randrange(13)) if kind == "inline" else b"" if kind == "nothing" else None
        section, offset = place()
        address = {"default": 0, "function": sections[section][0] + offset}.get(kind, homes["inline"] + 16 * number)
        if not -(2**31) <= address - homes["backend"] - 64 < 2**31 - 64:
            address = 0
        ways.append(Way(address, code if address else None))
    at = (homes["table"] + 15) & ~15
    return lay_out(regions, at, homes["backend"], sections, ops, sites, ways, rng.randbytes(8), arch)


def _sites(
    rng: random.Random, sections: list[tuple[int, int]], ops: list[Op], section: int, arch: Arch, forms: list[str]
) -> list[Site]:
    """Sites of random forms in a section, in order, each of a form that can refer to its op; the last may end it."""
    sites: list[Site] = []
    address, size = sections[section]
    offset = 0
    count = rng.choice((0, 1, 3, 6, 12))
    for number in range(count):
        op, name = rng.randrange(len(ops)), rng.choice(forms)
        _, form = ALL_FORMS[arch.name][name]
        offset += rng.choice((0, 0, 1, rng.randrange(40)))
        if number == count - 1 and rng.random() < 0.5:
            offset = max(offset, size - form.length)
        offset += -(address + offset) % (arch.instruction or 1)
        target = ops[op].slot if form.kind.slot else ops[op].function
        if target is None or offset + form.length > size:
            continue
        if code_of(arch, form, address + offset, sections[target[0]][0] + target[1]) is not None:
            sites.append(Site(section, offset, name, op))
            offset += form.length
    return sites


def corrupted(rng: random.Random, layout: Layout) -> Layout:
    """The layout with something wrong: in the table, in a site, in the backend's header, or in the bounds."""
    kind = rng.choice(
        ("raw", "raw", "sections", "ops", "sites", "sites", "bases", "code", "backend", "bounds", "inline")
    )
    size = len(layout.table.encode())
    bits = 1 << rng.randrange(32)
    table = layout.table
    if kind == "raw":
        # of several regions, what lies between them is no memory: bases may not lead there
        limit = size - (table.bases.nbytes if len(layout.regions) > 1 else 0)
        at = layout.at + rng.randrange(limit)
        return layout.changed(at, bytes([layout.read(at, 1)[0] ^ 1 << rng.randrange(8)]))
    if kind == "bases" and len(layout.regions) == 1:
        bases = table.bases.tolist()
        bases[rng.randrange(len(bases))] += rng.choice((1, -1, 8, -64, 1 << rng.randrange(63), -(1 << 40)))
        bases = np.array([table.arch.signed(base) for base in bases], table.bases.dtype)
        return layout.with_table(replace(table, bases=bases))
    if kind == "code" and layout.sites:
        at = rng.choice(layout.sites) + rng.randrange(10)
        old = layout.read(at, 1)
        return layout.changed(at, bytes([old[0] ^ 1 << rng.randrange(8)]) if old else b"")
    if kind == "backend":
        at = layout.backend + rng.randrange(8 + 8 * len(layout.table.ops))
        return layout.changed(at, bytes([layout.read(at, 1)[0] ^ 1 << rng.randrange(8)]))
    if kind == "inline" and layout.sites:  # an op's inline code is where a site is
        place = layout.backend + 8 + 8 * rng.randrange(len(table.ops))
        start, length = rng.choice(layout.sites) + rng.randrange(-2, 3), rng.randrange(1, 9)
        inside = any(at <= start and start + length <= at + len(content) for at, content in layout.regions)
        if inside and -(2**31) <= start - place < 2**31:  # what lies behind a region is no memory
            return layout.changed(place, struct.pack("<iI", start - place, length)).with_backends(layout.backend)
    if kind == "bounds":
        by = rng.choice((1, 8, rng.randrange(SIZE), SIZE))
        if rng.random() < 0.5:
            return replace(layout, start=layout.start + by)
        return replace(layout, end=layout.end - by)
    columns = {"sections": table.sections, "ops": table.ops, "sites": table.sites}
    name = kind if kind in columns and len(columns[kind]) else "sections"
    rows = columns[name].copy()
    column = rng.choice(rows.dtype.names or ())
    row = rng.randrange(len(rows))
    other = rng.choice((int(rows[column][row]) ^ bits, int(rows[column][row]) + rng.choice((-1, 1, 4)), bits - 1))
    rows[column][row] = other % (1 << 8 * rows.dtype[column].itemsize)
    columns[name] = rows
    return layout.with_table(replace(table, sections=columns["sections"], ops=columns["ops"], sites=columns["sites"]))
