"""The symbols of an image that a rule selects, as a compressed table: ksyms.py has the format."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from buildplug import ksyms, ksyms_codec
from buildplug.arch import Arch
from buildplug.elf import Array, Image
from buildplug.ksyms import Ksyms
from buildplug.rules import Rule
from buildplug.symbols import letters, selected


@dataclass(frozen=True)
class SymbolTable:
    """A table of symbols as the build handles it: the bytes, whose bases are the image's, and the sections."""

    rule: Rule
    arch: Arch
    data: bytes
    count: int
    section_names: tuple[str, ...]

    def __len__(self) -> int:
        return self.count

    def encode(self) -> bytes:
        return self.data

    def describe(self, at: int) -> str:
        """What the byte at offset `at` of the table is about."""
        return "the sections' addresses" if at >= self.before_bases else f"one of its {self.count} symbols"

    @property
    def before_bases(self) -> int:
        """Bytes of the table up to the addresses that the linker fills in."""
        return len(self.data) - self.arch.word * len(self.section_names)

    def context(self) -> dict[str, Any]:
        """What templates see, the bytes up to the bases in a file apart."""
        return {"symbols": self.count}

    def arrays(self) -> dict[str, Array]:
        """All of it as arrays, for a file."""
        names = np.array(self.section_names, str)
        return {"data": np.frombuffer(self.data, "u1"), "count": np.array([self.count]), "names": names}

    @classmethod
    def from_arrays(cls, rule: Rule, arch: Arch, kept: dict[str, Array]) -> "SymbolTable":
        return cls(rule, arch, kept["data"].tobytes(), int(kept["count"][0]), tuple(kept["names"].tolist()))


def empty(rule: Rule, arch: Arch) -> SymbolTable:
    """The table of a draft."""
    return _encoded(rule, ksyms.collect(arch, [], np.zeros(0, ksyms.ROW), [], rule.name))


def _encoded(rule: Rule, table: Ksyms) -> SymbolTable:
    return SymbolTable(rule, table.arch, ksyms_codec.encode(table), len(table.rows), table.section_names)


def symbols_of(image: Image, rule: Rule) -> SymbolTable:
    """The table that `rule` makes of an image. Raises BuildplugError."""
    at = image.address_of(rule.symbol)
    if at is None:
        raise image.bad(f"rule {rule.name}: expected the symbol {rule.symbol}, found none", "link the table's object")
    return _encoded(rule, collected(image, rule, at))


def collected(image: Image, rule: Rule, at: int) -> Ksyms:
    """The symbols that `rule` selects, for a table at address `at`; the sections are those that have any.

    A symbol that a linker script assigned outside its section goes to the section that its address lies in or behind.
    Raises BuildplugError for one that lies before every section.
    """
    chosen = np.array(selected(image, rule))
    values, home = image.symbols["value"][chosen], image.symbols["section"][chosen]
    starts, sizes = (np.array([getattr(s, field) for s in image.sections], "u8") for field in ("address", "size"))
    for index in np.flatnonzero(values - starts[home] > sizes[home]).tolist():
        before = [s for s in image.sections if s.alloc and s.address <= int(values[index])]
        if not before:
            name = image.name_of(int(chosen[index]))
            raise image.bad(f"rule {rule.name}: symbol {name} lies outside every section", "exclude it in the rule")
        home[index] = max(before, key=lambda section: section.address).index
    used, number = np.unique(home, return_inverse=True)
    rows = np.zeros(len(chosen), ksyms.ROW)
    rows["section"], rows["offset"] = number, values - starts[home]
    rows["size"], rows["type"] = image.symbols["size"][chosen], letters(image)[chosen]
    sections = [image.sections[index] for index in used.tolist()]
    homes = [(s.name, s.size, 0, s.address - at) for s in sections]
    names = [image.names[index].encode() for index in chosen.tolist()]
    return ksyms.collect(image.arch, homes, rows, names, f"rule {rule.name}", by_name=rule.table.by_name)
