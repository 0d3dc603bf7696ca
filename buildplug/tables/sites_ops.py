"""The ops of a table of sites, with their addresses in an image: the declared ones, those that a table has there, or
one for each address that is referred to. Knows no sites.
"""

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.select.references import References
from buildplug.tables.sites_format import NONE, Table


@frozen
class Resolved:
    """The ops of an image, by number: name, address of the default function, address of the slot."""

    names: tuple[str, ...]
    functions: tuple[int | None, ...]
    slots: tuple[int | None, ...]
    backends: tuple[int, ...] = ()  # their addresses


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


def declared_in(image: Image, rule: Rule, declared: Ops) -> Resolved:
    """The declared ops. Raises BuildplugError for one that the image lacks, and for two at one address."""
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


def referred_to(image: Image, references: References) -> Resolved:
    """An op for each referenced address."""
    names, functions, slots = [], [], []
    for value, target in sorted({(int(r["value"]), int(r["target"])) for r in references.rows}):
        symbol = references.targets[target]
        names.append(f"{symbol.name}+{value - symbol.address:#x}" if symbol.slot else symbol.name)
        functions.append(_content(image, value, symbol.name) if symbol.slot else value)
        slots.append(value if symbol.slot else None)
    return Resolved(tuple(names), tuple(functions), tuple(slots))


def home_of(image: Image, address: int, name: str) -> tuple[int, int]:
    """The index of the section of an op's address, and the offset in it. Raises BuildplugError if there is none."""
    section = image.section_at(address)
    if section is None:
        raise image.bad(f"op {name}: address {address:#x} lies in no section", "correct the ops file")
    return section.index, address - section.address


def _content(image: Image, slot: int, name: str) -> int | None:
    """The address of the function that a slot holds at link time; None if it holds none."""
    index, offset = home_of(image, slot, name)
    value = int(image.words(index, np.array([offset]), image.arch.word)[0])
    home = image.section_at(value)
    return value if home is not None and home.executable else None
