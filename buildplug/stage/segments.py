"""Checks that segments load the tables as their sections require."""

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import PF_R, PF_W, PT_LOAD, PT_LOOS, SHF_ALLOC, SHF_WRITE, Array, Section
from buildplug.image.segments import holding, kinds


def check(final: Image, tables: list[tuple[Rule, Section]]) -> None:
    """Raises BuildplugError unless each rule's table lies in exactly one PT_LOAD, with the flags that it needs, and in
    no other segment below PT_LOOS; or if a table has made a read-only segment writable. If a segment that is not
    writable has other writable sections, the script wants that, and the kernel maps them itself: x86's Linux."""
    others = (final.headers["flags"] & SHF_ALLOC != 0) & (final.headers["size"] > 0)
    others[[table.index for _, table in tables]] = False
    for rule, table in tables:
        _check(final, rule, table, others)


def _check(final: Image, rule: Rule, table: Section, without: Array) -> None:
    def bad(found: str, remedy: str) -> BuildplugError:
        return final.bad(f"rule {rule.name}: expected {table.name} in one PT_LOAD, found it in {found}", remedy)

    types, inside = final.segments["type"], holding(final, table)
    loads = np.flatnonzero(inside & (types == PT_LOAD))
    others = types[inside & (types != PT_LOAD) & (types < PT_LOOS)]
    if len(loads) != 1 or len(others):
        found = f"{len(loads)}" + "".join(f", and in one of type {kind}" for kind in others)
        raise bad(found, 'name its segment, such as into = ":text", in [link] or its [[table]]')
    load, writable = loads[0], bool(table.flags & SHF_WRITE)
    row = final.segments[load]
    if int(row["offset"]) + table.address - int(row["vaddr"]) != table.offset:
        raise bad("one that loads another part of the file", 'name its segment, such as into = ":text"')
    start, end = final.addresses, final.addresses + final.headers["size"].astype("u8")
    beside = without & (row["vaddr"] <= start) & (end <= row["vaddr"] + row["memsz"])
    written = beside & (final.headers["flags"] & SHF_WRITE != 0)
    before = np.flatnonzero(written & (start < table.address)).tolist()  # what is behind may be there for its sake
    as_others = any("W" not in kinds(final, final.sections[index]) for index in before[-1:])
    remedy = f'set after = "{".data" if writable else ".rodata"}" or another section of its kind in its [[table]]'
    needed = PF_R | PF_W * (writable and not as_others)
    if int(final.segments["flags"][load]) & needed != needed:
        raise bad(f"one of flags {kinds(final, table)}, and it needs {'RW' if writable else 'R'}", remedy)
    if writable and beside.any() and not written.any():
        names = ", ".join(section.name for section in final.sections.at(beside))
        raise bad(f"one with {names}, which are only read, and nothing else that is written to", remedy)
