"""What a link will make, before it: an image without content, of the sections and symbols of the input objects.

Tables of symbols that are extracted from it have the size of the true ones nearly always, so that the first link can
reserve their room, and is the only one. It is a guess: a linker script may do more than is read of it here. Where the
guess is wrong, the image is relinked; the proof is of what was linked in any case. Source of what linkers do with
symbols and sections without inputs: tried (GNU ld 2.40, lld 14 and 19).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image import archive, headers
from buildplug.image.columns import Columns
from buildplug.image.elf import ANYWHERE, RELOCATION, Image, Near
from buildplug.image.headers import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_TLS,
    SHF_WRITE,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHT_NOBITS,
    STB_GLOBAL,
    STB_LOCAL,
    STB_WEAK,
    STT_FILE,
    STT_SECTION,
    Array,
    among,
    distinct,
    sorting,
)
from buildplug.image.name_patterns import matching
from buildplug.image.names import Names
from buildplug.image.sections import Sections
from buildplug.image.symtab import KINDS
from buildplug.linker.family import Family
from buildplug.linker.script import Output, Placement
from buildplug.stage import forecast_script
from buildplug.tables.registry import format_of

SHT_PROGBITS, STV_INTERNAL, STV_HIDDEN = 1, 1, 2
SHN_COMMON = headers.RESERVED | 0xFFF2
MOST_OBJECTS = 300  # reading more takes longer than the link that it saves
BASE, PAGE = 0x1000000, 0x1000  # where the image starts, and what its sections are aligned to
COMMON, BSS, DISCARDED = b"COMMON", b".bss", "/DISCARD/"
# What linkers make for the loader, and its flags.
LOADER = {
    ".rela.dyn": SHF_ALLOC, ".dynamic": SHF_ALLOC | SHF_WRITE, ".dynsym": SHF_ALLOC, ".dynstr": SHF_ALLOC,
    ".hash": SHF_ALLOC, ".gnu.hash": SHF_ALLOC, ".got": SHF_ALLOC | SHF_WRITE,
}  # fmt: skip


class Forecast(Image):
    """An image that no link has made yet: it has sections and symbols, but no content."""

    kept: Array = np.zeros(0, RELOCATION)  # of code, against what rules of references select

    def __init__(self, arch: Arch, sections: Array, section_names: Sequence[bytes], symbols: Columns, names: Names):
        self.path, self.type, self.arch, self.headers = Path("forecast"), "ET_EXEC", arch, sections
        self.data = np.zeros(0, "u1")
        lengths = np.fromiter(map(len, section_names), "i8", len(section_names)) + 1
        sections["name"] = np.cumsum(lengths) - lengths
        self.sections = Sections(sections, b"\0".join([*section_names, b""]))
        self.symbols, self.name_table = symbols, names

    @property
    def has_relocations(self) -> bool:
        return len(self.kept) > 0

    def relocations(self, against: Array | None = None, of: Array | None = None, near: Near = ANYWHERE) -> Array:
        """As Image has it."""
        rows = self.kept
        wanted = np.ones(len(rows), bool) if against is None else against[rows["symbol"]]
        return rows.compress(wanted if of is None else wanted & of[rows["section"]])


def forecast(
    inputs: Sequence[Path], placement: Placement, rules: Sequence[Rule], family: Family, *, shared: bool = False
) -> Forecast:
    """The image that a linker is expected to make of `inputs` and of the tables of `rules`. `shared`: whether by
    -shared. Raises BuildplugError for inputs that say too little."""
    members = [member for path in inputs for member in archive.objects(path)]
    if len(members) > MOST_OBJECTS:
        raise BuildplugError("forecast", f"expected at most {MOST_OBJECTS} objects, found {len(members)}")
    objects = [member.image for member in members]
    if not objects or any(image.type != "ET_REL" or image.arch != objects[0].arch for image in objects):
        raise BuildplugError("forecast", "expected objects of one architecture, found others or none")
    outputs = forecast_script.outputs(placement, family, shared=shared)
    found = _read(objects, rules)
    homes, titles, numbers = _homes(found, outputs)
    used = _used(found, homes, outputs, numbers, family, shared=shared)
    starts, sections = _laid_out(objects[0].arch, found.sections, homes, len(titles))
    inherited = SHF_ALLOC  # by sections of symbols alone, where linkers keep these
    for output, number in zip(outputs, numbers, strict=True):
        if output.address is not None:
            address, modulus = output.address % objects[0].arch.modulus, 1 << 64
            starts[homes == number] += np.uint64((address - int(sections["address"][number + 1])) % modulus)
            sections["address"][number + 1] = address
        if shared and output.name in LOADER:
            sections["flags"][number + 1], sections["type"][number + 1] = LOADER[output.name], SHT_PROGBITS
        elif number in used and not sections["flags"][number + 1]:  # it stays without inputs
            alone = SHF_ALLOC if output.has_data else SHF_WRITE | SHF_ALLOC * output.has_room
            sections["flags"][number + 1] = inherited if family.keeps_assigned else alone
            room = output.has_room and not output.has_data and not family.keeps_assigned
            sections["type"][number + 1] = SHT_NOBITS if room else SHT_PROGBITS
        if number in used:  # lld 14 inherits that it is code, too
            inherited = int(sections["flags"][number + 1]) & (SHF_ALLOC | SHF_WRITE)

    symbols = found.symbols
    inside = np.flatnonzero(symbols["section"] < SHN_LORESERVE)
    own = symbols["section"][inside]
    symbols["value"][inside] += starts[own]
    symbols["section"][inside] = homes[own] + 1
    gone = [number + 1 for number in _discarded(outputs, numbers)]
    said = [one.name.encode() for output in outputs for one in output.assigns if not one.provided]
    by_script = found.names.among(said) & (symbols["bind"] != STB_LOCAL)
    kept = np.flatnonzero(~among(symbols["section"], gone) & ~found.overridden & ~by_script)
    symbols = symbols[kept]
    if hides := shared or family.hides:
        symbols["bind"][among(symbols["visibility"], (STV_INTERNAL, STV_HIDDEN))] = STB_LOCAL
    assigned = forecast_script.assigned(outputs, numbers, used, sections, found.undefined, family)
    table = Names.joining([found.names.chosen(kept), Names.of([each.symbol.name.encode() for each in assigned])])
    rows = forecast_script.rows(assigned, sections, symbols, table, found.hidden if hides else (), family)
    made = Forecast(objects[0].arch, sections, [b"", *titles], Columns.joining([symbols, rows]), table)
    if referring := [rule for rule in rules if rule.select.rows == "references"]:
        from buildplug.stage import forecast_code  # lazy, as few links need it

        shifts = starts - made.addresses[homes + 1]
        index = np.full(len(found.symbols), -1)
        index[kept] = np.arange(len(kept))
        origins = [
            forecast_code.Origin(
                image,
                np.where(number < 0, 0, np.append(homes, -1)[number] + 1),
                np.append(shifts, np.uint64(0))[number],
                np.append(index, -1)[rows],
            )
            for image, number, rows in zip(objects, found.numbers, found.rows, strict=True)
        ]
        made.kept = forecast_code.fill(made, origins, referring)
    return made


@frozen
class _Inputs:
    """The loaded sections and the symbols of all objects; a symbol's section is an index into these, or reserved."""

    sections: Array  # headers
    section_names: list[bytes]
    symbols: Columns  # of symtab.KINDS
    names: Names  # of the symbols
    overridden: Array  # mask of the symbols that give way to others of their names
    undefined: set[bytes]
    hidden: set[bytes]  # those that are undefined, and not to be seen by others
    numbers: list[Array]  # by object: the number of each of its sections, -1 for none
    rows: list[Array]  # by object: the number of each of its symbols, -1 for none


def _read(objects: Sequence[Image], rules: Sequence[Rule]) -> _Inputs:
    """All that the link is of; the tables, and what is in no section yet, as sections more."""
    extra = np.zeros(len(rules) + 1, headers.record(headers.SECTION, objects[0].arch))
    extra["type"], extra["flags"], extra["size"] = SHT_PROGBITS, SHF_ALLOC, 1
    extra["flags"][:-1] += SHF_WRITE * np.array(["w" in rule.table.flags for rule in rules], extra["flags"].dtype)
    extra["type"][-1], extra["flags"][-1] = SHT_NOBITS, SHF_ALLOC | SHF_WRITE
    defined = [(name, number) for number, rule in enumerate(rules) for name in format_of(rule).defines(rule)]
    rows = Columns.zeros(KINDS, len(defined))
    rows["section"][:], rows["bind"][:], rows["size"][:] = [number for _, number in defined], STB_GLOBAL, 1
    sections, section_names = [extra], [*(rule.section.encode() for rule in rules), COMMON]
    symbols, names = [rows], [Names.of([name.encode() for name, _ in defined])]
    undefined, hidden = set[bytes](), set[bytes]()
    count, numbers, taken = len(extra), list[Array](), list[Array]()
    for image in objects:
        loaded = np.flatnonzero(image.headers["flags"] & SHF_ALLOC)
        number = np.full(len(image.headers), -1, "i8")
        number[loaded] = np.arange(count, count + len(loaded))
        count += len(loaded)
        sections.append(image.headers.take(loaded))
        section_names += image.sections.table.texts(loaded)
        rows, texts = image.symbols, image.name_table
        missing = rows["section"] == SHN_UNDEF
        undefined.update(texts.texts(np.flatnonzero(missing)))
        hidden.update(texts.texts(np.flatnonzero(missing & among(rows["visibility"], (STV_INTERNAL, STV_HIDDEN)))))
        inside = rows["section"] < SHN_LORESERVE
        home = number[np.where(inside, rows["section"], 0)]
        kept = np.flatnonzero(~missing & ~among(rows["type"], (STT_SECTION, STT_FILE)) & (~inside | (home >= 0)))
        numbers.append(number)
        taken.append(np.full(len(rows), -1))
        taken[-1][kept] = np.arange(len(kept)) + sum(map(len, names))
        rows, home = rows[kept], home[kept]
        rows["section"][:] = np.where(inside[kept], home, rows["section"])
        symbols.append(rows)
        names.append(texts.chosen(kept))
    every = Columns.joining(symbols)
    common = every["section"] == SHN_COMMON
    every["section"][common], every["value"][common] = len(rules), 0
    extra["size"][-1] = common.any()
    table = Names.joining(names)
    overridden = _overridden(every, table, common)
    return _Inputs(np.concatenate(sections), section_names, every, table, overridden, undefined, hidden, numbers, taken)


def _overridden(symbols: Columns, names: Names, common: Array) -> Array:
    """Mask of the definitions that give way to another of the same name: weak ones to common ones, these to others."""
    found = np.zeros(len(symbols), bool)
    weak = symbols["bind"] == STB_WEAK
    if (weak | common).any():
        rank = np.where(common, 1, np.where(weak, 2, 0))
        bound = np.flatnonzero(symbols["bind"] != 0)
        bound = bound[names.chosen(bound).repeated]
        bound = bound[sorting(rank[bound])]
        texts = names.texts(bound)
        first = dict(zip(reversed(texts), range(len(texts) - 1, -1, -1), strict=True))
        found[bound] = np.fromiter(map(first.__getitem__, texts), "i8", len(texts)) != np.arange(len(texts))
    return found


def _homes(found: _Inputs, outputs: Sequence[Output]) -> tuple[Array, list[bytes], list[int]]:
    """For each input section the number of the output section that takes it, by its name; the names of these; and the
    numbers of `outputs` among them. Linkers make others for what no output takes, behind the last of its kind."""
    names = list(dict.fromkeys(found.section_names))
    table = Names.of(names)
    home = np.full(len(names), -1)
    for number, output in enumerate(outputs):
        free = home < 0
        home[free & matching(table, output.takes)] = number
    titles = [output.name.encode() for output in outputs]
    common, orphans = names.index(COMMON), np.flatnonzero(home < 0)
    orphans = orphans[orphans != common]
    home[orphans] = len(titles) + np.arange(len(orphans))
    titles += map(names.__getitem__, orphans.tolist())
    if home[common] < 0:
        home[common] = titles.index(BSS) if BSS in titles else len(titles)
        titles += [BSS] * (BSS not in titles)
    homes = home
    if len(names) < len(found.section_names):
        number_of = dict(zip(names, range(len(names)), strict=True))
        homes = home[np.fromiter(map(number_of.__getitem__, found.section_names), "i8", len(found.section_names))]

    flags, content = found.sections["flags"], found.sections["size"] > 0
    kinds = (flags & SHF_EXECINSTR != 0, flags & SHF_WRITE == 0, found.sections["type"] != SHT_NOBITS, content)
    rank = np.full(len(titles), -1)  # of an output section: the first kind that it has inputs of; -1: it has none
    for kind, mask in reversed([*enumerate(kinds)]):
        rank[homes[mask & content]] = kind
    last = [max((n for n in range(len(outputs)) if 0 <= rank[n] <= kind), default=-1) for kind in range(len(kinds))]
    behind, within = np.arange(len(titles)), np.zeros(len(titles), "i8")
    within[len(outputs) :] = rank[len(outputs) :] + 1
    behind[len(outputs) :] = np.array([-1, *last])[within[len(outputs) :]]
    order = sorting(within, behind)
    place = np.empty(len(order), "i8")
    place[order] = np.arange(len(order))
    return place[homes], [titles[i] for i in order.tolist()], place[: len(outputs)].tolist()


def _used(
    found: _Inputs, homes: Array, outputs: Sequence[Output], numbers: Sequence[int], family: Family, *, shared: bool
) -> Array:
    """The numbers of the output sections that linkers do not drop, ascending."""
    empty = [
        number
        for output, number in zip(outputs, numbers, strict=True)
        if output.has_dots
        or output.has_data
        or (output.has_symbols and family.keeps_assigned)
        or (shared and output.name in LOADER)
    ]
    kept = homes[(found.sections["size"] > 0) & ~among(homes, _discarded(outputs, numbers))]
    return distinct(np.append(kept, empty).astype("i8"))


def _discarded(outputs: Sequence[Output], numbers: Sequence[int]) -> list[int]:
    return [number for output, number in zip(outputs, numbers, strict=True) if output.name == DISCARDED]


def _laid_out(arch: Arch, inputs: Array, homes: Array, count: int) -> tuple[Array, Array]:
    """The address of each input section, and the headers of the output sections, behind an empty one."""
    align = np.maximum(inputs["alignment"], 1).astype("u8")
    sizes = -(-inputs["size"].astype("u8") // align) * align
    order = sorting(homes)
    before = np.empty(len(sizes), "u8")  # bytes of all that comes before an input section
    ends = np.cumsum(sizes[order])
    before[order] = ends - sizes[order]
    sections = np.zeros(count + 1, headers.record(headers.SECTION, arch))
    bounds = np.searchsorted(homes[order], np.arange(count), "right")
    extents = np.diff(np.append(np.uint64(0), ends)[bounds], prepend=np.uint64(0))
    places = np.cumsum(-(-extents // PAGE) * PAGE + np.uint64(PAGE)) + np.uint64(BASE) - extents
    if len(places) and int(places[-1]) >= arch.modulus:
        raise BuildplugError("forecast", "expected sections that fit into the address space")
    sections["address"][1:], sections["size"][1:] = places, extents
    for flag in (SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS):
        sections["flags"][homes[inputs["flags"] & flag != 0] + 1] |= flag
    sections["type"][homes + 1] = SHT_NOBITS
    sections["type"][homes[inputs["type"] != SHT_NOBITS] + 1] = SHT_PROGBITS
    return places[homes] + before - (np.cumsum(extents) - extents)[homes], sections
