"""The symbols of an image that a rule selects, as tables: ksyms.py and linux_kallsyms.py have the formats."""

import numpy as np

from buildplug import ksyms, ksyms_codec, linux_kallsyms
from buildplug.arch import Arch
from buildplug.elf import Image
from buildplug.ksyms import Ksyms
from buildplug.linux_kallsyms import Kallsyms
from buildplug.packed import Packed
from buildplug.rules import Rule
from buildplug.symbols import letters, selected


def empty(rule: Rule, arch: Arch) -> Packed:
    """The table of a draft."""
    return _encoded(rule, ksyms.collect(arch, [], np.zeros(0, ksyms.ROW), [], rule.name))


def _encoded(rule: Rule, table: Ksyms) -> Packed:
    return Packed(rule, table.arch, ksyms_codec.encode(table), len(table.rows), table.section_names)


def symbols_of(image: Image, rule: Rule) -> Packed:
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
    names = [image.raw_names[index] for index in chosen.tolist()]
    return ksyms.collect(image.arch, homes, rows, names, f"rule {rule.name}", by_name=rule.table.by_name)


def kallsyms_of(image: Image, rule: Rule) -> Kallsyms:
    """The symbols that `rule` selects, as Linux's tables. Raises BuildplugError."""
    chosen = selected(image, rule)
    names = [image.raw_names[index] for index in chosen]
    where = f"rule {rule.name}"
    return linux_kallsyms.encode(image.symbols["value"][chosen], letters(image)[chosen], names, where)
