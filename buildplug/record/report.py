"""Reports of a build or of rebuilds, for people: read from the records and the images beside them."""

from collections import Counter
from dataclasses import field
from pathlib import Path

import numpy as np

from buildplug.arch.form import KIND_NAMES
from buildplug.base import files
from buildplug.base.errors import BuildplugError, printable
from buildplug.base.records import frozen
from buildplug.base.schema import convert
from buildplug.config import project
from buildplug.config.ops import OP_BITS
from buildplug.image.elf import Image
from buildplug.image.headers import SHF_WRITE, SHT_NOBITS, Section
from buildplug.record import rebuilds
from buildplug.record.build import RECORD, BuildRecord, parse_record, read_json
from buildplug.record.rebuilds import Rebuilds
from buildplug.record.section_map import Drawing, Extent, draw
from buildplug.runtime.outcomes import OUTCOMES, outcomes
from buildplug.stage import render
from buildplug.stage.notes import TableRecord
from buildplug.tables.sites_format import decode


@frozen
class Placed:
    """A section in draft and final image. `inside`: how the linker moved its parts."""

    name: str
    content: str  # code, constants, data, zeros or table
    draft: Extent | None
    final: Extent | None
    inside: str = ""

    @property
    def moved(self) -> str:
        """What the relink changed of the section; empty if nothing."""
        if self.draft is None or self.final is None:
            return "new" if self.draft is None else "gone"
        (before, old), (after, new) = self.draft, self.final
        said = [f"{after - before:+#x}"] if after != before else []
        said += [f"{new - old:+,} B"] if new != old else []
        return ", ".join([*said, *([f"parts moved: {self.inside}"] if self.inside else [])])


@frozen
class Sites:
    """The number of sites in a table: op -> kind -> count; and what becomes of them: backend -> op -> outcome, one of
    OUTCOMES -> count."""

    kinds: tuple[str, ...]
    ops: dict[str, dict[str, int]]
    became: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    @property
    def used(self) -> dict[str, dict[str, int]]:
        """The ops with sites."""
        return {op: of for op, of in self.ops.items() if any(of.values())}

    @property
    def unused(self) -> tuple[str, ...]:
        """The ops without a site."""
        return tuple(op for op in self.ops if op not in self.used)

    @property
    def most(self) -> int:
        """The most sites of any op; at least 1."""
        return max(sum(of.values()) for of in self.ops.values()) or 1

    @property
    def total(self) -> int:
        return sum(sum(of.values()) for of in self.ops.values())


@frozen
class BuildReport:
    """The report of one build. sites: by rule."""

    record: BuildRecord
    sites: dict[str, Sites]
    sections: tuple[Placed, ...]

    @property
    def drawing(self) -> Drawing:
        """The map of the sections."""
        return draw([(section.draft, section.final) for section in self.sections])


Report = BuildReport | Rebuilds


def read(path: Path, arch: str = "") -> Report:
    """The report of `path`: a configuration, for its architecture or `arch`; the record of a build; or the result of
    rebuilds. Raises BuildplugError."""
    if path.is_dir() or path.suffix == ".toml":
        wanted = project.read(path, arch=arch)
        path = wanted.build / f"{wanted.kernel.name}{RECORD}"
        if not path.exists():
            raise BuildplugError(path, "expected the record of a build, found none", "build first: buildplug build")
    data = read_json(path)
    if isinstance(data, dict) and "variations" in data:
        return convert(Rebuilds, data, str(path), strict=False)
    return _build(path, data)


def summary(report: Report) -> str:
    """The report as a few lines for a terminal."""
    if isinstance(report, Rebuilds):
        return "\n".join(rebuilds.summary(report))
    record = report.record
    sites = sum(of.total for of in report.sites.values())
    links = f"{record.links} link{'s' * (record.links != 1)}"
    lines = [f"{record.image}, {record.arch}: {links}, {len(record.tables)} tables, {sites} sites"]
    lines += [f"why {links}: {record.why}"] if record.why else []
    rows = [[rule, f"{t.rows} rows", f"{t.bytes} bytes in {t.section}"] for rule, t in report.record.tables.items()]
    lines += ["tables, proved true:", *_aligned(rows)]
    for rule, of in report.sites.items():
        counts = [[op, *(str(n or ".") for n in by.values()), str(sum(by.values()))] for op, by in of.used.items()]
        lines += [f"sites of {rule}:", *_aligned([["", *of.kinds, "all"], *counts])]
        lines += [f"  and {len(of.unused)} ops without a site"] if of.unused else []
        totals = [[b, *(str(sum(n[o] for n in ops.values()) or ".") for o in OUTCOMES)] for b, ops in of.became.items()]
        lines += [f"what becomes of them under each backend of {rule}:", *_aligned([["", *OUTCOMES], *totals])]
        believed = [f"{backend} {op}" for backend, ops in record.tables[rule].believed.items() for op in ops]
        lines += [f"believed, not proved: what {', '.join(believed)} writes, {len(believed)}"] if believed else []
    lines += ["moved or resized by the relink:"]
    lines += _aligned([[section.name, section.moved] for section in report.sections if section.moved]) or ["  nothing"]
    lines += ["seconds:", *_aligned([[name, f"{seconds:.3f}"] for name, seconds in record.seconds.items()])]
    return "\n".join(map(printable, lines))


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows as lines: the first column left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def html(reports: list[Report]) -> str:
    """The reports as a self-contained page: no network, no scripts."""
    return render.render("report.html.j2", None, reports=reports)


def _build(path: Path, data: object) -> BuildReport:
    record = parse_record(path, data)
    draft, final = (_image(path, record, f"{record.image}{suffix}") for suffix in (".draft", ""))
    own = {about.section for about in record.tables.values()}
    inside = dict(line.partition(": ")[::2] for line in record.moved)
    sites = {rule: _sites(final, about) for rule, about in record.tables.items() if about.ops}
    return BuildReport(record, sites, _placed(draft, final, own, inside))


def _image(path: Path, record: BuildRecord, name: str) -> Image:
    """Reads an image beside its record. Raises BuildplugError if its digest is not the recorded one."""
    if Path(name).name != name:
        raise BuildplugError(path, f"expected the name of a file beside it, found {name!r}")
    if files.is_special(path.with_name(name)) or files.digest(path.with_name(name)) != record.outputs.get(name):
        raise BuildplugError(path.with_name(name), f"expected the file that {path.name} speaks of", "build again")
    return Image(path.with_name(name))


def _sites(image: Image, about: TableRecord) -> Sites:
    """Counts the sites of a table by op and kind."""
    section, at = image.section(about.section), image.address_of(about.symbol)
    data = image.bytes_of(section)[(at or section.address) - section.address :].tobytes()
    table = decode(data, image.arch, f"{image.path}: {about.symbol}")
    info = table.sites["info"]
    counts: dict[str, Counter[str]] = {name: Counter() for name in about.ops}
    for value, count in zip(*(column.tolist() for column in np.unique(info, return_counts=True)), strict=True):
        form, op = value >> OP_BITS, value & ((1 << OP_BITS) - 1)
        if form >= len(image.arch.forms) or op >= len(about.ops):
            raise image.bad(f"{about.symbol}: expected sites of known forms and ops, found {value:#x}", "build again")
        counts[about.ops[op]][image.arch.forms[form].kind.name] += count
    kinds = tuple(kind for kind in KIND_NAMES if any(kind in of for of in counts.values()))
    became = {}
    for backend in about.targets:
        named = image.address_of(f"{about.symbol}_{backend}")
        if at is None or named is None:
            raise image.bad(f"{about.symbol}: expected the backend {backend}, found none", "build again")
        rows = outcomes(image, table, at, named).tolist()
        became[backend] = {op: dict(zip(OUTCOMES, row, strict=True)) for op, row in zip(about.ops, rows, strict=True)}
    return Sites(kinds, {op: {kind: of[kind] for kind in kinds} for op, of in counts.items()}, became)


def _placed(draft: Image, final: Image, own: set[str], inside: dict[str, str]) -> tuple[Placed, ...]:
    """The allocated sections of two links, by address. Sections of the same name are paired in order."""
    keyed: list[dict[tuple[str, int], Section]] = []
    for image in (draft, final):
        seen: Counter[str] = Counter()
        found = {}
        for section in image.sections:
            if section.alloc and section.size:
                found[section.name, seen[section.name]] = section
                seen[section.name] += 1
        keyed.append(found)
    placed = []
    for key in {**keyed[1], **keyed[0]}:
        pair = [found.get(key) for found in keyed]
        extents = [None if section is None else (section.address, section.size) for section in pair]
        known = pair[1] or pair[0]
        assert known is not None
        content = "table" if key[0] in own else _content(known)
        placed.append(Placed(printable(key[0]), content, extents[0], extents[1], inside.get(key[0], "")))
    return tuple(sorted(placed, key=lambda section: (section.final or section.draft, section.name)))


def _content(section: Section) -> str:
    if section.executable:
        return "code"
    if section.type == SHT_NOBITS:
        return "zeros"
    return "data" if section.flags & SHF_WRITE else "constants"
