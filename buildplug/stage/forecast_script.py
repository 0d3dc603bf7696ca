"""What a linker script adds to a forecast: its output sections, and the symbols that it assigns, with the section that
each is in, and its address there. Source of what linkers do: tried (GNU ld 2.40, lld 19)."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from buildplug.base.records import frozen
from buildplug.image import headers
from buildplug.image.columns import Columns
from buildplug.image.headers import SHN_ABS, SHT_NOBITS, STB_GLOBAL, STB_LOCAL, Array
from buildplug.image.names import Names
from buildplug.image.symtab import KINDS
from buildplug.linker.family import Family
from buildplug.linker.script import Assigned, Output, Placement

# what linkers do without a script
OUTPUTS = tuple(Output(name, (name, f"{name}.*")) for name in (".text", ".rodata", ".data", ".bss"))
DYNAMIC = Assigned("_DYNAMIC", (".",), provided=False, hidden=True, inside=True, first=True)


def outputs(placement: Placement, family: Family, *, shared: bool) -> list[Output]:
    """The output sections of the kernel's script, with those of tables that it does not take. `shared`: whether the
    link is by -shared."""
    found = list(placement.outputs or OUTPUTS)
    for placed in placement.tables:
        at = next((n for n, output in enumerate(found) if output.name == placed.after), len(found) - 1) + 1
        found.insert(at, Output(placed.rule.section, (placed.rule.section,)))
    if shared and family.hides:
        return [replace(one, assigns=(DYNAMIC, *one.assigns)) if one.name == ".dynamic" else one for one in found]
    return found


@frozen
class Placed:
    """A symbol that a script assigns: the index of its section, and of the one at whose end, or start, it is."""

    symbol: Assigned
    section: int
    place: int
    starts: bool


def assigned(
    outputs: Sequence[Output], numbers: Sequence[int], used: Array, sections: Array, undefined: Collection[bytes],
    family: Family,
) -> list[Placed]:  # fmt: skip
    """The symbols that a link will have. `numbers`: of the `outputs` among all output sections; `used`: those that
    linkers do not drop, ascending; `undefined`: the names that inputs want."""
    if not len(used):
        return []
    ends = (number for output, number in zip(outputs, numbers, strict=True) if output.assigns_end)
    last = next(ends, int(used[-1]))
    apart = {number for output, number in zip(outputs, numbers, strict=True) if output.address is not None}
    found, moved = list[Placed](), False
    for output, number in zip(outputs, numbers, strict=True):
        after = int(np.searchsorted(used, number, "right"))
        before, behind = int(used[max(after - 1, 0)]), int(used[min(after, len(used) - 1)])
        moved = moved and before != number  # one that is dropped does not count
        onward = behind if family.dot_moves_on and behind <= last else before
        within = before
        if before != number and not family.keeps_assigned:
            within = _nearby(sections, before, behind)
        for one in output.assigns:
            if not one.provided or one.name.encode() in undefined:
                home = within if one.inside else onward if moved or one.moved else before
                starts = one.first if one.inside else one.moved and home == behind and behind not in apart
                place = home if one.inside or starts else before
                found.append(Placed(one, SHN_ABS if one.is_constant else home + 1, place + 1, starts))
        moved |= output.moves
    return found


def _nearby(sections: Array, before: int, behind: int) -> int:
    """The number of the output section that GNU ld puts symbols in of a dropped one between two: a writable one, or
    else one without code (_bfd_nearby_section() in its bfd/linker.c)."""
    first, second = sections[before + 1], sections[behind + 1]
    if _is_loaded(first) == _is_loaded(second):
        for flag, wanted in ((headers.SHF_WRITE, True), (headers.SHF_EXECINSTR, False)):
            if (first["flags"] ^ second["flags"]) & flag:
                return behind if bool(second["flags"] & flag) == wanted else before
    return before


def _is_loaded(section: np.void) -> bool:
    return bool(section["flags"] & headers.SHF_ALLOC) and section["type"] != SHT_NOBITS


def rows(
    found: Sequence[Placed], sections: Array, symbols: Columns, names: Names, hidden: Collection[bytes], family: Family
) -> Columns:
    """These symbols; some are but other names of `symbols`, whose names come first in `names`, or of each
    other. `hidden`: the names of those that are local in the image."""
    rows = Columns.zeros(KINDS, len(found))
    rows["section"][:] = [each.section for each in found]
    at, starts = np.array([each.place for each in found], "i8"), np.array([each.starts for each in found], bool)
    places = sections["address"][at] + sections["size"][at] * ~starts
    rows["value"][:] = np.where(rows["section"] == SHN_ABS, 0, places)
    for number, one in enumerate(each.symbol for each in found):
        rows["bind"][number] = STB_LOCAL if one.hidden or one.name.encode() in hidden else STB_GLOBAL
        for same in names.equal(one.alias.encode())[:1].tolist() if one.alias else ():
            other = same - len(symbols)  # the number of a symbol of the script
            if other < number:
                known = symbols[same] if other < 0 else rows[other]
                rows["section"][number], rows["value"][number] = known["section"], known["value"]
            if 0 <= other < number and family.aliases_numbers and not found[other].symbol.inside:
                rows["section"][number] = SHN_ABS
    return rows
