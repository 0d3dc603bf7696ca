"""The proof that the tables of a final image are true of it, and that the relink changed nothing else.

A table is true if it equals a new extraction from the final image. compare.py compares the other sections with the
draft's, loading.py what a loader reads, and segments.py how the tables are loaded.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from buildplug.base import parallel
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.project import WantedTable
from buildplug.config.rule import Rule
from buildplug.image import build_id, loading
from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.image.headers import REL, SHF_ALLOC, SHT_NOBITS, SHT_REL, SHT_RELA, Array, Section, among, record, rela
from buildplug.stage import segments
from buildplug.stage.notes import TableRecord
from buildplug.tables.format import Contents
from buildplug.tables.registry import format_of

PIECE = 1 << 22  # bytes


@frozen
class TableProof:
    """A rule's table in a final image: its true content, and the differences from that; none if it is true."""

    rule: Rule
    truth: Contents
    differences: tuple[str, ...]


@frozen
class Proof:
    """moved: how sections differ because the linker moved parts of them; changed: all other differences; unproved:
    sections that linkers make without relocations, and that differ in a way that cannot be checked."""

    tables: tuple[TableProof, ...]
    moved: tuple[str, ...]
    changed: tuple[str, ...]
    sections: int  # how many were compared
    unproved: tuple[str, ...] = ()


def verify(
    draft: Image,
    final: Image,
    wanted: Sequence[tuple[Rule, Ops | None]],
    made: Sequence[Contents] = (),
    *,
    filled: bool = False,
) -> Proof:
    """Compares two links of one kernel; the same link given twice is only checked against itself. Without declared
    ops, a table's own are used. `made`: the tables that were extracted from a draft of one's own. `filled`: whether
    the final image is the draft with these tables in it, by fill.py.

    Raises BuildplugError if a table, or the relocations to check it with, are missing.
    """
    rules = [rule for rule, _ in wanted]
    own, first = {rule.section for rule in rules}, [rule for rule in rules if rule.table.first]
    alike = filled or (bool(made) and _same_but_tables(draft, final, rules))
    if alike:
        final.adopt(draft)
        final.leave()
        draft.leave()
    holds = [alike and _same_rows(draft, final, rule, own) for rule, _ in wanted]  # what was extracted from the draft

    def proved(number: int) -> tuple[Contents, tuple[str, ...]]:
        proof = prove_table(final, *wanted[number], made[number] if made and holds[number] else None)
        return proof.truth, proof.differences

    results = parallel.each(proved, len(wanted), 0 if all(holds) else len(final.data))
    proofs = tuple(TableProof(rule, *result) for (rule, _), result in zip(wanted, results, strict=True))
    if alike:
        draft.leave()
        draft = final
    rest = _behind(final, first)
    found = compare(rest if draft is final else _behind(draft, first), rest, own - {rule.section for rule in first})
    changed = (*found.changed, *loading.changed(draft, final, own))
    segments.check(final, [(proof.rule, _place(final, proof.rule)[1]) for proof in proofs])
    return Proof(proofs, found.moved, changed, found.sections, found.unproved)


def _behind(image: Image, first: Sequence[Rule]) -> Image:
    """The image with the sections of tables that are in front of other content as if they began behind those."""
    for rule in first:
        at, section, room = _place(image, rule)
        if at != section.address:
            raise image.bad(
                f"rule {rule.name}: expected its table at the start of {section.name}, found it at "
                f"+{at - section.address:#x}",
                "the linker script must take the inputs of that section in the order of the link",
            )
        image = image.without_start(section, room)
    return image


def _same_but_tables(draft: Image, final: Image, rules: Sequence[Rule]) -> bool:
    """Whether all bytes are the same but those of tables, of their relocations, and of build-ids, so that the symbols
    extracted from the draft are those of the final image, and no other section is to be compared."""
    own = {rule.section for rule in rules}
    parts = [[image.section(name) for name in sorted(own)] + _relocations(image, own) for image in (draft, final)]
    behind = {rule.section: _place(final, rule)[2] for rule in rules if rule.table.first}  # bytes of the table
    ranges = [(part.offset, part.offset + behind.get(part.name, part.size)) for part in parts[1]]
    ranges += [(location.start, location.end) for location in build_id.locations(final)]
    return parts[0] == parts[1] and len(draft.data) == len(final.data) and _same_outside(draft.data, final.data, ranges)


def _same_rows(draft: Image, final: Image, rule: Rule, own: set[str]) -> bool:
    """Whether a rule selects the same from images that are alike but for the sections `own`, of tables, and for their
    relocations."""
    if not rule.select.needs_relocations:
        return True
    from buildplug.select.rows import same_rows  # lazily, as tables of symbols do without

    if (final.headers["type"] == SHT_REL).any():  # then an addend may be in a table
        return False
    pairs = zip(_relocations(draft, own), _relocations(final, own), strict=True)
    changed = [one.info for one, other in pairs if not np.array_equal(draft.bytes_of(one), final.bytes_of(other))]
    return same_rows(draft, final, rule, [final.sections.names[section] for section in changed])


def _relocations(image: Image, own: set[str]) -> list[Section]:
    """The relocation sections of tables."""
    tables = [index for name in own for index in image.sections.called(name)]
    kept = among(image.headers["type"], (SHT_RELA, SHT_REL)) & among(image.headers["info"], tables)
    return list(image.sections.at(kept))


def _same_outside(one: Array, other: Array, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether the bytes outside of these ranges are the same. Takes them in pieces, to take little memory."""
    at = 0
    for start, end in (*sorted(ranges), (len(one), len(one))):
        pieces = ((first, min(first + PIECE, start)) for first in range(at, start, PIECE))
        if not all(np.array_equal(one[first:last], other[first:last]) for first, last in pieces):
            return False
        at = max(at, end)
    return True


def _place(final: Image, rule: Rule) -> tuple[int, Section, int]:
    """Address, section and room (bytes) of a rule's table. Without a size it has the rest of the section, unless that
    is the kernel's."""
    row = final.symbol(rule.symbol)
    if row is None:
        raise final.bad(f"rule {rule.name}: expected its table {rule.symbol}, found no such symbol")
    section = final.section_at(int(row["value"]))
    if section is None or section.type == SHT_NOBITS:
        raise final.bad(f"rule {rule.name}: its table {rule.symbol} lies in no section with content")
    end = section.address + section.size - int(row["value"])
    size = int(row["size"]) if row["size"] or rule.table.first else end
    return int(row["value"]), section, min(size, end)


def prove_table(final: Image, rule: Rule, ops: Ops | None, truth: Contents | None = None) -> TableProof:
    """Compares the table's bytes in the image with a new extraction, or with `truth`, an earlier one."""
    at, data = table_bytes(final, rule)
    format = format_of(rule)
    truth = truth or format.truth(final, rule, ops, data, at)
    differences = list(format.differences(final, rule, truth, data, at))
    if not differences and any(data[len(truth.encode()) :]):
        differences.append("expected zeros behind it, found other bytes")
    return TableProof(rule, truth, tuple(differences))


def table_bytes(image: Image, rule: Rule) -> tuple[int, bytes]:
    """The address of a rule's table in an image, and its bytes once loaded at the link address. Raises
    BuildplugError."""
    at, section, room = _place(image, rule)
    return at, _loaded(image, section)[at - section.address :][:room].tobytes()


def _loaded(image: Image, section: Section) -> Array:
    """The content of a section once loaded at the link address."""
    content = image.bytes_of(section)
    rows, places = _filled(image, section.address, section.size)
    if not len(rows):
        return content
    content = content.copy()
    addresses = np.ascontiguousarray(rows["address"]).astype(f"{image.arch.byteorder}u{image.arch.word}")
    content[places] = addresses.view("u1").reshape(places.shape)
    return content


def _filled(image: Image, address: int, size: int) -> tuple[Array, Array]:
    """The fields that the loader fills in `size` bytes at an address, shape (n,); offsets of their bytes, (n, word)."""
    word = image.arch.word
    offsets = (image.loaded["place"] - np.uint64(address)).astype("i8")
    inside = (offsets >= 0) & (offsets <= size - word)
    return image.loaded[inside], offsets[inside][:, None] + np.arange(word)


def rewrite(path: Path, final: Image, proof: TableProof) -> None:
    """Writes the true table into the file at `path`, a copy of `final`. Raises BuildplugError if it does not fit."""
    at, section, room = _place(final, proof.rule)
    data = proof.truth.encode()
    if len(data) > room:
        raise BuildplugError(
            final.path,
            f"rule {proof.rule.name}: the relink moved sites, and the true table needs {len(data)} bytes, found room "
            f"for {room}: {'; '.join(proof.differences)}",
            f"set slack = {len(data) - room} or more in its [[table]]",
        )
    rows, offsets = _filled(final, at, len(data))
    content = np.frombuffer(data.ljust(room, b"\0"), "u1").copy()
    if not final.bytes_of(section)[at - section.address + offsets].any():
        content[offsets] = 0  # this linker leaves zeros in the fields that the loader fills
    with path.open("r+b") as file:
        file.seek(section.offset + at - section.address)
        file.write(content.tobytes())
        # anchors: the symbols that kept relocations use for the addresses of sections
        anchors = {proof.rule.anchor(number): name for number, name in enumerate(proof.truth.section_names)}
        symbols = final.with_prefix(proof.rule.anchors)
        for symbol, anchor in zip(symbols.tolist(), final.names_of(symbols), strict=True):
            address = final.section(anchors[anchor]).address if anchor in anchors else None
            if address is not None and address != final.symbols["value"][symbol]:
                file.seek(final.value_at(symbol))
                file.write(address.to_bytes(final.arch.word, final.arch.order))
        if proof.truth.bases_at is not None:
            for place, records in _kept_relocations(final, section, at, room, proof.truth.bases_at):
                file.seek(place)
                file.write(records)
    if len(rows):  # the loader's own relocations would overwrite the fields
        whole = np.memmap(path, np.uint8, "r+")
        whole[rows["offset"].astype("i8")[:, None] + np.arange(final.arch.word)] = np.frombuffer(data, "u1")[offsets]
        whole.flush()


def _kept_relocations(final: Image, section: Section, at: int, room: int, first: int) -> Iterator[tuple[int, bytes]]:
    """The kept relocations of a table at an address, if the first field that they fill is to be `first` bytes behind it
    and is not: file offset, records. Where an addend is the field's distance from the table, it remains so."""
    kept = among(final.headers["type"], (SHT_RELA, SHT_REL)) & (final.headers["flags"] & SHF_ALLOC == 0)
    for table in final.sections.at(kept & (final.headers["info"] == section.index)):
        records = final.records(table, rela(final.arch) if table.type == SHT_RELA else record(REL, final.arch)).copy()
        places = (records["offset"].astype("u8") - np.uint64(at)).astype("i8")
        own = np.flatnonzero((places >= 0) & (places < room))
        moved = first - int(places[own].min()) if len(own) else 0
        if moved:
            if table.type == SHT_RELA:
                records["addend"][own[records["addend"][own] == places[own]]] += moved
            records["offset"][own] = (places[own] + moved).astype("u8") + np.uint64(at)
            yield table.offset, records.tobytes()


def try_fixup(final: Image, wanted: WantedTable, image: Path) -> None:
    """Runs the kernel's boot-time checks for every backend, by the reference implementation."""
    if not wanted.ops:
        return
    from buildplug.runtime.fixup import fixup  # lazy, as few tables have ops
    from buildplug.runtime.memory import memory_of
    from buildplug.tables.sites_format import ERRORS

    memory, start, end = memory_of(final)
    at = final.address_of(wanted.rule.symbol) or 0
    for name in wanted.ops.backends:
        backend = final.address_of(f"{wanted.rule.symbol}_{name}") or 0
        status = fixup(final.arch, memory, at, backend, start, end, dry=True)
        if status.error != "ok":
            raise BuildplugError(
                image,
                f"rule {wanted.rule.name}, backend {name}, entry {status.entry}: {ERRORS[status.error]}",
                (final.arch.reach if status.error == "out_of_range" else "")
                or "the kernel would refuse the table at boot; see the generated table for the entry",
            )


def record_of(final: Image, proof: TableProof, ops: Ops | None) -> TableRecord:
    """The record of a table."""
    rule, size, targets = proof.rule, final.section(proof.rule.section).size, {}
    if rule.table.first:
        size = len(table_bytes(final, rule)[1])
    if ops:
        from buildplug.backends import cache_lines  # lazy, as few tables have ops

        targets = cache_lines.about(final, rule, ops)
    believed = ops.believed() if ops else {}
    return TableRecord(rule.symbol, rule.section, len(proof.truth), size, proof.truth.op_names, targets, believed)
