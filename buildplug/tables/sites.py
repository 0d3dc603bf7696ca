"""References to ops -> the table of sites for the fixup."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS, Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array, within
from buildplug.select.references import References, extract
from buildplug.select.words import by_veneer
from buildplug.tables import sites_format
from buildplug.tables.binary import CTYPE, RUST_TYPE, address_of, anchored
from buildplug.tables.format import Contents, Format, Source
from buildplug.tables.sites_format import NONE, Table, backend_checksum, decode, dtype

SHOWN = 3  # maximum entries in a message


class SitesFormat(Format):
    name = "sites"
    template = "tables.S.j2"
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
        values = {
            "arch": arch,
            "table": sites_format,
            "ctype": CTYPE,
            "fields": sorted({form.field for form in arch.forms}, key=arch.fields.index),  # the usual first
            "longest": max(form.length for form in arch.forms),
        }
        names = ("buildplug.h", *(("fixup.c", "live.h", "live.c") if has_ops else ()))
        return {name: Source(f"{name}.j2", values) for name in names}

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        backends = ops.backends if ops else {}
        header = {f"{rule.symbol}.h": Source("tables.h.j2", {"rule": rule, "backends": backends})}
        if ops is None:
            return header
        return header | {f"{rule.symbol}_backends.S": Source("backends.S.j2", _of_backends(rule, arch, ops))}

    def rust(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        if ops is None:
            return {}
        longest = max(form.length for form in arch.forms)
        values = _of_backends(rule, arch, ops) | {"rust_type": RUST_TYPE, "longest": longest}
        return {f"{rule.symbol}.rs": Source("fixup.rs.j2", values)}


def _of_backends(rule: Rule, arch: Arch, ops: Ops) -> dict[str, Any]:
    """What the assembly of backends is rendered from."""
    return {
        "arch": arch, "rule": rule, "table": sites_format, "ops": ops.ops, "backends": ops.backends,
        "copies": {backend: ops.copies(backend) for backend in ops.backends},
        "kept": {name: op.kept(arch) for name, op in ops.ops.items()},
    }  # fmt: skip


@dataclass(frozen=True)
class Resolved:
    """The ops of an image, by number: name, address of the default function, address of the slot."""

    names: tuple[str, ...]
    functions: tuple[int | None, ...]
    slots: tuple[int | None, ...]
    backends: tuple[int, ...] = ()  # their addresses


def table_of(image: Image, rule: Rule, declared: Ops | Resolved | None) -> tuple[Table, dict[str, int]]:
    """The true table of `rule` for `image`, and the number of ignored references by kind. Bases are relative to the
    rule's symbol, which every link has. Without declared ops, each referenced function or slot is one.

    Raises BuildplugError for a reference to no declared op, and for ops missing from the image.
    """
    references = extract(image, rule)
    rows = references.rows
    resolved = _declared(image, rule, declared) if isinstance(declared, Ops) else declared or _found(image, references)
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
    homes = [_home(image, slot, names[number]) for slot, number in held.items()]
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
    order = np.lexsort((offsets, sections))
    return _pack(image, rule, resolved, sections[order], offsets[order], info[order]), references.ignored


def _decoded(image: Image, rule: Rule, data: bytes) -> Table:
    return decode(data, image.arch, f"{image.path}: {rule.symbol}")


def resolved_of(image: Image, table: Table, at: int) -> Resolved:
    """The ops of a table at address `at`."""
    columns = []
    for field in ("function", "slot"):
        sections, offsets = table.ops[f"{field}_section"].tolist(), table.ops[field].tolist()
        columns.append(
            tuple(
                None if s == NONE else (at + int(table.bases[s]) + offset) % image.arch.modulus
                for s, offset in zip(sections, offsets, strict=True)
            )
        )
    places = zip(table.checks["backend_section"].tolist(), table.checks["backend"].tolist(), strict=True)
    if len(table.checks) and max(table.checks["backend_section"]) >= len(table.bases):
        raise image.bad("expected checks of backends in sections of the table, found other ones")
    backends = tuple((at + int(table.bases[section]) + offset) % image.arch.modulus for section, offset in places)
    return Resolved(tuple(f"op {number}" for number in range(len(table.ops))), columns[0], columns[1], backends)


def _declared(image: Image, rule: Rule, declared: Ops) -> Resolved:
    functions: list[int | None] = []
    slots: list[int | None] = []
    for name, op in declared.ops.items():
        symbol, _, offset = (op.slot or op.function).partition("+")
        row = image.symbol(symbol)
        if row is None:
            raise image.bad(f"op {name}: expected a symbol {symbol}, found none", "define it or correct the ops file")
        address, size, word = int(row["value"]), int(row["size"]), image.arch.word
        if op.function and offset:
            raise BuildplugError(f"op {name}", f"function: expected a symbol, found {op.function!r}", "drop the offset")
        if op.function:
            functions.append(address)
            slots.append(None)
            continue
        try:
            at = int(offset, 0) if offset else 0
        except ValueError:
            raise BuildplugError(
                f"op {name}", f"slot: expected symbol+offset or symbol[word], found {op.slot!r}"
            ) from None
        if size and not (0 <= at <= size - word and at % word == 0):
            raise image.bad(
                f"op {name}: expected a word of {symbol}, {size} bytes, found {op.slot}", "correct the ops file"
            )
        slots.append(address + at)
        functions.append(_content(image, address + at, name))
        if functions[-1] is None:
            raise image.bad(f"op {name}: expected {op.slot} to hold the address of a function", "initialise the slot")
    seen: dict[tuple[bool, int | None], str] = {}
    for name, function, slot in zip(declared.ops, functions, slots, strict=True):
        other = seen.setdefault((slot is None, function if slot is None else slot), name)
        if other != name:
            raise image.bad(
                f"ops {other} and {name}: expected two addresses, found one",
                "keep compiler and linker from folding them (noipa, --icf=none), or declare one",
            )
    named = [image.address_of(f"{rule.symbol}_{name}") for name in declared.backends]
    return Resolved(tuple(declared.ops), tuple(functions), tuple(slots), tuple(at for at in named if at is not None))


def _found(image: Image, references: References) -> Resolved:
    """An op for each referenced address."""
    names, functions, slots = [], [], []
    for value, target in sorted({(int(r["value"]), int(r["target"])) for r in references.rows}):
        symbol = references.targets[target]
        names.append(f"{symbol.name}+{value - symbol.address:#x}" if symbol.slot else symbol.name)
        functions.append(_content(image, value, symbol.name) if symbol.slot else value)
        slots.append(value if symbol.slot else None)
    return Resolved(tuple(names), tuple(functions), tuple(slots))


def _home(image: Image, address: int, name: str) -> tuple[int, int]:
    section = image.section_at(address)
    if section is None:
        raise image.bad(f"op {name}: address {address:#x} lies in no section", "correct the ops file")
    return section.index, address - section.address


def _content(image: Image, slot: int, name: str) -> int | None:
    """The address of the function that a slot holds at link time; None if it holds none."""
    index, offset = _home(image, slot, name)
    value = int(image.words(index, np.array([offset]), image.arch.word)[0])
    home = image.section_at(value)
    return value if home is not None and home.executable else None


def _pack(
    image: Image, rule: Rule, resolved: Resolved,
    sections: Array, offsets: Array, info: Array,
) -> Table:  # fmt: skip
    """Builds the table. Sections in use are numbered consecutively by address."""
    own = address_of(image, rule)
    if len(resolved.names) > 1 << OP_BITS:
        raise image.bad(f"rule {rule.name}: expected up to {1 << OP_BITS} ops, found {len(resolved.names)}")
    homes = [
        [None if a is None else _home(image, a, resolved.names[i]) for i, a in enumerate(addresses)]
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
    index, offset = _home(image, at, "backend")
    data = image.bytes_of(image.sections[index])[offset : offset + head + row.itemsize * ops].tobytes()
    if len(data) < head + row.itemsize * ops:
        raise image.bad(f"expected a backend of {ops} ops at {at:#x}, found the end of {image.sections[index].name}")
    functions = np.frombuffer(data[head:], row)["function"].tolist()
    places = [at + head + number * row.itemsize + function for number, function in enumerate(functions) if function]
    if offset >> 31:
        raise image.bad(f"expected a backend in the first 2 GiB of a section, found it at {at:#x}", "move it")
    code = _home(image, places[0] % image.arch.modulus, "backend")[0] if places else index
    return offset, backend_checksum(data, at, image.sections[code].address, image.arch), index, code
