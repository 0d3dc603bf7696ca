"""References to ops -> the table of sites for the fixup."""

from dataclasses import replace

import numpy as np

from buildplug.arch.model import Arch
from buildplug.config.ops import OP_BITS, Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array, sorting, within
from buildplug.select.references import extract
from buildplug.select.words import by_veneer
from buildplug.tables import sites_format, sites_sources
from buildplug.tables.binary import address_of, anchored
from buildplug.tables.format import Contents, Format, Source
from buildplug.tables.sites_format import NONE, Table, backend_checksum, decode, dtype
from buildplug.tables.sites_ops import Resolved, declared_in, home_of, referred_to, resolved_of

SHOWN = 3  # maximum entries in a message


class SitesFormat(Format):
    name = "sites"
    rows = "references"
    contents = Table

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Table, dict[str, int]]:
        return table_of(image, rule, ops)

    def empty(self, rule: Rule, arch: Arch) -> Table:
        return sites_format.empty(arch)

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Table | None:
        table, names = _decoded(image, rule, data), anchored(image, rule)
        forms, ops = table.sites["info"] >> OP_BITS, table.sites["info"] & ((1 << OP_BITS) - 1)
        if len(names) != len(table.sections) or max(ops, default=-1) >= len(table.ops):
            return None
        if max(forms, default=-1) >= len(image.arch.forms):
            return None
        return replace(table, section_names=names, op_names=("",) * len(table.ops))

    def truth(self, image: Image, rule: Rule, ops: Ops | None, data: bytes, at: int) -> Table:
        """As Format.truth(); without declared ops, uses those of the table."""
        return table_of(image, rule, ops or resolved_of(image, _decoded(image, rule, data), at))[0]

    def differences(self, image: Image, rule: Rule, truth: Contents, data: bytes, at: int) -> list[str]:
        """The first entries that differ."""
        found, true = _decoded(image, rule, data), _decoded(image, rule, truth.encode())
        if found.encode() == true.encode():
            return []

        def rows(table: Table) -> dict[int, str]:
            forms = image.arch.forms
            return {a: f"{forms[form].name} of op {op}" for a, form, op in table.rows(at, image.arch.modulus)}

        said, is_ = rows(found), rows(true)
        different = sorted(address for address in said.keys() | is_.keys() if said.get(address) != is_.get(address))
        lines = []
        for address in different[:SHOWN]:
            section = image.section_at(address)
            place = f"{section.name}+{address - section.address:#x}" if section else f"{address:#x}"
            lines.append(f"{place}: table says {said.get(address, 'nothing')}, image has {is_.get(address, 'nothing')}")
        if len(different) > SHOWN:
            lines.append(f"and {len(different) - SHOWN} more")
        if not different and not np.array_equal(found.ops, true.ops):
            lines.append("the ops' functions or slots differ")
        if not different and not np.array_equal(found.checks, true.checks):
            lines.append("the backends' checksums differ")
        return lines or ["its header differs"]

    def runtime(self, arch: Arch, *, has_ops: bool) -> dict[str, Source]:
        return sites_sources.runtime(arch, has_ops=has_ops)

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        return sites_sources.tables(rule, arch, ops)

    def rust(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        return sites_sources.rust(rule, arch, ops)


def table_of(image: Image, rule: Rule, declared: Ops | Resolved | None) -> tuple[Table, dict[str, int]]:
    """The true table of `rule` for `image`, and the number of ignored references by kind. Bases are relative to the
    rule's symbol, which every link has. Without declared ops, each referenced function or slot is one.

    Raises BuildplugError for a reference to no declared op, and for ops missing from the image.
    """
    references = extract(image, rule)
    rows = references.rows
    resolved = (
        declared_in(image, rule, declared) if isinstance(declared, Ops) else declared or referred_to(image, references)
    )
    names, functions, slots = resolved.names, resolved.functions, resolved.slots
    far = rows[by_veneer(image, rows)]
    if len(far):
        row, target = far[0], references.targets[far[0]["target"]]
        raise image.bad(
            f"{image.sections[row['section']].name}+{int(row['offset']):#x}: expected a site in reach of "
            f"{target.name}, found one that the linker leads through a veneer, which no fixup could restore",
            "place the function within reach of all its sites",
        )
    forms = image.arch.forms
    unchanged = np.flatnonzero(np.array([bool(form.unchanged) for form in forms])[rows["form"]])
    if len(unchanged):
        row = rows[unchanged[0]]
        form, name = forms[row["form"]], references.targets[row["target"]].name
        where = f"{image.sections[row['section']].name}+{int(row['offset']):#x}"
        raise image.bad(
            f"{where}: expected a site that a backend can change, found {form.name} of {name}, which {form.unchanged}",
            f"call it by {image.arch.link}",
        )
    slot_number = {address: number for number, address in enumerate(slots) if address is not None}
    function_number = {
        address: number for number, address in enumerate(functions) if address is not None and slots[number] is None
    }
    of_slot = np.array([form.kind.slot for form in image.arch.forms])[rows["form"]]
    rows_op = np.full(len(rows), -1)
    for numbers, chosen in ((slot_number, of_slot), (function_number, ~of_slot)):
        values, inverse = np.unique(rows["value"][chosen], return_inverse=True)
        rows_op[chosen] = np.array([numbers.get(int(v), -1) for v in values], int)[inverse]
    sections, offsets, info = rows["section"], rows["offset"], rows["form"].astype("u4") << OP_BITS | rows_op
    # A slot is itself a site: readers must find the backend's function in it. That site replaces a reference found
    # in the slot.
    held = {slot: number for slot, number in slot_number.items() if functions[number] is not None}
    homes = [home_of(image, slot, names[number]) for slot, number in held.items()]
    if homes:
        pointer = image.arch.pointer
        places = np.array(homes, "u8").reshape(-1, 2)
        # offsets fit 32 bits (_pack() checks), so one number can hold section and offset
        keys = places[:, 0] << np.uint64(32) | places[:, 1]
        free = ~within(rows["section"].astype("u8") << np.uint64(32) | offsets, keys)
        sections = np.concatenate([sections[free], places[:, 0].astype("u4")])
        offsets = np.concatenate([offsets[free], places[:, 1]])
        info = np.concatenate([info[free], pointer << OP_BITS | np.array(list(held.values()))])
        rows_op = rows_op[free]
        rows = rows[free]
    if (rows_op < 0).any():
        row = rows[int(np.argmin(rows_op))]
        target = references.targets[row["target"]]
        raise image.bad(
            f"{image.sections[row['section']].name}+{int(row['offset']):#x}: expected a declared op, "
            f"found {target.name}+{int(row['value']) - target.address:#x}",
            f"declare it in the ops file of rule {rule.name}, or exclude it in the rule",
        )
    order = sorting(offsets, sections)
    return _pack(image, rule, resolved, sections[order], offsets[order], info[order]), references.ignored


def _decoded(image: Image, rule: Rule, data: bytes) -> Table:
    return decode(data, image.arch, f"{image.path}: {rule.symbol}")


def _pack(
    image: Image, rule: Rule, resolved: Resolved,
    sections: Array, offsets: Array, info: Array,
) -> Table:  # fmt: skip
    """Builds the table. Sections in use are numbered consecutively by address."""
    own = address_of(image, rule)
    if len(resolved.names) > 1 << OP_BITS:
        raise image.bad(f"rule {rule.name}: expected up to {1 << OP_BITS} ops, found {len(resolved.names)}")
    homes = [
        [None if a is None else home_of(image, a, resolved.names[i]) for i, a in enumerate(addresses)]
        for addresses in (resolved.functions, resolved.slots)
    ]
    backends = [_backend(image, at, len(resolved.names)) for at in resolved.backends]
    used = (
        {int(s) for s in sections}
        | {index for found in backends for index in found[2:]}
        | {h[0] for column in homes for h in column if h is not None}
    )
    in_order = sorted(used, key=lambda index: image.sections[index].address)
    number = {index: i for i, index in enumerate(in_order)}
    for index in in_order:
        section = image.sections[index]
        if section.size >= 1 << 32:
            raise image.bad(f"section {section.name}: expected less than 4 GiB, found {section.size} bytes")
    order = image.arch.byteorder
    records = np.zeros(len(in_order), dtype("section", order))
    records["size"] = [image.sections[index].size for index in in_order]
    records["sites"] = [int((sections == index).sum()) for index in in_order]
    ops = np.zeros(len(resolved.names), dtype("op", order))
    for field, column in zip(("function", "slot"), homes, strict=True):
        ops[field] = [0 if h is None else h[1] for h in column]
        ops[f"{field}_section"] = [NONE if h is None else number[h[0]] for h in column]
    sites = np.zeros(len(offsets), dtype("site", order))
    sites["offset"], sites["info"] = offsets, info
    bases = np.array(
        [image.arch.signed(image.sections[index].address - own) for index in in_order], image.arch.base_type
    )
    checks = [(offset, value, number[home], number[code]) for offset, value, home, code in backends]
    return Table(
        image.arch, records, ops, sites, bases,
        tuple(image.sections[index].name for index in in_order), resolved.names,
        np.array(checks, dtype("check", order)),
    )  # fmt: skip


def _backend(image: Image, at: int, ops: int) -> tuple[int, int, int, int]:
    """The check of a backend: its offset in its section, its checksum, the indices of its section and of its code's,
    which is that of its first function."""
    order = image.arch.byteorder
    head, row = dtype("backend", order).itemsize, dtype("implementation", order)
    index, offset = home_of(image, at, "backend")
    data = image.bytes_of(image.sections[index])[offset : offset + head + row.itemsize * ops].tobytes()
    if len(data) < head + row.itemsize * ops:
        raise image.bad(f"expected a backend of {ops} ops at {at:#x}, found the end of {image.sections[index].name}")
    functions = np.frombuffer(data[head:], row)["function"].tolist()
    places = [at + head + number * row.itemsize + function for number, function in enumerate(functions) if function]
    if offset >> 31:
        raise image.bad(f"expected a backend in the first 2 GiB of a section, found it at {at:#x}", "move it")
    code = home_of(image, places[0] % image.arch.modulus, "backend")[0] if places else index
    return offset, backend_checksum(data, at, image.sections[code].address, image.arch), index, code
