"""Linux's own kallsyms as a generated table. Format: kallsyms_format.

The parts follow each other, padded, under Linux's symbol names. At most the last, kallsyms_relative_base, holds an
address: the linker relocates it alone, and with it KASLR moves all symbols. Offsets are those of the image that the
table was made from; in another image, verify overwrites them with the true ones.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Section
from buildplug.image.names import Names
from buildplug.image.symbols import letters
from buildplug.select.symbols import selected
from buildplug.tables import kallsyms_format
from buildplug.tables.format import Contents, Source
from buildplug.tables.kallsyms_format import PC_RELATIVE, Kallsyms
from buildplug.tables.kallsyms_tokens import CODES
from buildplug.tables.packed import Packed, PackedFormat

SHOWN = 3  # symbols that a message names of a kind
ROOM = 1024  # parts that depend on the names are padded to a multiple: a few more names move no part


@frozen
class KallsymsForm:
    """What differs between Linux versions. The kernel finds the parts by their symbols."""

    parts: tuple[str, ...]  # in table order: offsets first, the part with an address last
    constant: tuple[str, ...]  # parts of constant size
    align: int  # bytes
    printed: tuple[str, ...]  # the parts in the order that scripts/kallsyms prints them in
    commented: bool  # whether it prints a symbol's type and name behind its offset, name and number
    held: str = ""  # what offsets hold; empty: what they do on the architecture
    sized: tuple[str, ...] = ()  # the parts whose size it prints

    @property
    def end(self) -> int:
        """Bytes of the last part, 0 for a word."""
        return 0 if self.parts[-1] == "relative_base" else 2 * CODES


OF_6_1 = KallsymsForm(
    ("offsets", "num_syms", "names", "markers", "seqs_of_names", "token_table", "token_index", "relative_base"),
    ("num_syms", "token_index", "relative_base"),
    8,
    ("offsets", "relative_base", "num_syms", "names", "markers", "seqs_of_names", "token_table", "token_index"),
    commented=False,
)
OF_6_12 = replace(
    OF_6_1,
    printed=("num_syms", "names", "markers", "token_table", "token_index", "offsets", "relative_base", "seqs_of_names"),
    commented=True,
)
OF_7_3 = replace(
    OF_6_12,
    parts=OF_6_1.parts[:-1],
    constant=("num_syms", "token_index"),
    align=4,
    printed=tuple(part for part in OF_6_12.printed if part != "relative_base"),
    held=PC_RELATIVE,
    sized=("names", "markers", "token_table", "offsets"),
)
FORMS = {"kallsyms": OF_6_1, "kallsyms-6-12": OF_6_12, "kallsyms-7-3": OF_7_3}  # by the rule's format


@frozen
class KallsymsTable(Packed):
    """An encoded table. starts: offsets of the form's parts; base_offset: of relative_base in its section."""

    starts: tuple[int, ...] = ()
    base_offset: int = 0

    def describe(self, at: int) -> str:
        """Which part of the table the byte at offset `at` belongs to."""
        return next((part for part, start in reversed(self.parts) if start <= at), "none")

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        names = (f"kallsyms_{part}" for part in FORMS[self.rule.format].parts)
        return tuple(zip(names, self.starts, strict=True))

    @property
    def room(self) -> int:
        return len(self.data)  # the parts are padded already

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the parts, with their padding."""
        ends = (*self.starts[1:], len(self.data))
        return {part: end - start for (part, start), end in zip(self.parts, ends, strict=True)}

    @property
    def symbols(self) -> Counter[bytes]:
        """The letter and name of each symbol. Raises BuildplugError, or ValueError, if the table is damaged."""
        at, where = dict(self.parts), f"rule {self.rule.name}"
        index = np.frombuffer(self.data, "<u2", CODES, at["kallsyms_token_index"])
        names, tokens = (self.data[at[f"kallsyms_{part}"] :] for part in ("names", "token_table"))
        none = np.broadcast_to(np.zeros(1, "u1"), self.count)
        tables = Kallsyms(none, 0, names, index, b"", tokens, index)
        return Counter(kallsyms_format.texts(tables, kallsyms_format.entries(tables, where), where))

    def context(self) -> dict[str, Any]:
        """The template's variables: the symbols of the parts, with their offsets; what is added to the address of the
        section for the base. The bytes before that are in `blob`."""
        return super().context() | {"parts": self.parts, "base_offset": self.base_offset}


class KallsymsFormat(PackedFormat):
    name = "kallsyms"  # and all others of FORMS
    rows = "symbols"
    contents = KallsymsTable

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Packed, dict[str, int]]:
        tables = kallsyms_of(image, rule)
        return _packed(rule, image.arch, tables, image.section_at(tables.relative_base)), {}

    def empty(self, rule: Rule, arch: Arch) -> KallsymsTable:
        _check_arch(rule, arch, f"rule {rule.name}")
        none = kallsyms_format.encode(np.zeros(0, "u8"), np.zeros(0, "u1"), Names.of(()), rule.name, arch.kallsyms)
        return _packed(rule, arch, none, None)

    def sources(self, rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
        return {}  # Linux ships its own

    def defines(self, rule: Rule) -> tuple[str, ...]:
        return (rule.symbol, *(f"kallsyms_{part}" for part in FORMS[rule.format].parts))

    def outgrown(self, made: Contents, kept: Contents) -> str:
        assert isinstance(made, KallsymsTable)
        assert isinstance(kept, KallsymsTable)
        sizes = ((part, size, kept.sizes[part]) for part, size in made.sizes.items())
        parts = ", ".join(
            f"{part} takes {size} bytes, {other} were kept" for part, size, other in sizes if size != other
        )
        try:
            return f"{parts}; symbols: {_changes(kept.symbols, made.symbols)}" if parts else ""
        except (BuildplugError, ValueError):  # it was read from an image that may be any
            return f"{parts}; the previous table is damaged"

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> KallsymsTable | None:
        form = FORMS[rule.format]
        found = [image.address_of(f"kallsyms_{part}") for part in form.parts]
        starts = tuple(address - at for address in found if address is not None)
        if len(starts) < len(found) or starts[0] or list(starts) != sorted(starts) or starts[-1] >= len(data):
            return None
        content = data[: starts[-1] + (form.end or image.arch.word)]
        count = int.from_bytes(content[starts[1] :][:4], "little")
        if form.end:
            return KallsymsTable(rule, image.arch, content, count, (), starts=starts)
        base = int.from_bytes(content[-image.arch.word :], "little")
        if not base and image.type == "ET_DYN":  # the loader fills it in, by a relocation that may be stripped
            base = image.address_of(rule.anchor(0)) or 0
        home = image.section_at(base)
        names, base_offset = ((home.name,), base - home.address) if home else ((), 0)
        return KallsymsTable(rule, image.arch, content, count, names, starts=starts, base_offset=base_offset)


def kallsyms_of(image: Image, rule: Rule) -> Kallsyms:
    """Linux's tables of the symbols that `rule` selects. Raises BuildplugError."""
    _check_arch(rule, image.arch, image.path)
    chosen = selected(image, rule)
    names = image.name_table.chosen(chosen)
    where = f"rule {rule.name}"
    held, place = FORMS[rule.format].held or image.arch.kallsyms, image.address_of("kallsyms_offsets")
    return kallsyms_format.encode(image.symbols["value"][chosen], letters(image)[chosen], names, where, held, place)


def _changes(before: Counter[bytes], after: Counter[bytes]) -> str:
    """How the second of two lists of symbols, each a letter and a name, differs from the first, with some examples."""
    more, fewer = ({row[1:].decode(errors="backslashreplace"): chr(row[0]) for row in sorted(rows)}
                   for rows in (after - before, before - after))  # fmt: skip
    other = [f"{name} is {more[name]}, not {fewer[name]}" for name in more if name in fewer]
    kinds = (("more", [*more.keys() - fewer]), ("fewer", [*fewer.keys() - more]), ("with another letter", other))
    return ", ".join(
        f"{len(found)} {kind} ({'; '.join(sorted(found)[:SHOWN])}{'; …' * (len(found) > SHOWN)})"
        for kind, found in kinds if found
    )  # fmt: skip


def _check_arch(rule: Rule, arch: Arch, where: object) -> None:
    """Raises BuildplugError for a machine whose kallsyms has other offsets."""
    if not arch.kallsyms:
        expected = f"rule {rule.name}: expected a machine whose kallsyms are known, found {arch.name}"
        raise BuildplugError(where, expected, "use the rule ksyms")


def _packed(rule: Rule, arch: Arch, tables: Kallsyms, home: Section | None) -> KallsymsTable:
    form = FORMS[rule.format]
    contents = {part: getattr(tables, part) for part in form.parts if part != "num_syms"}
    contents |= {
        "num_syms": np.array([len(tables.offsets)], "<u4"),
        "relative_base": np.array([tables.relative_base], "<u8"),
    }
    data, starts = bytearray(), []
    for part in form.parts:
        starts.append(len(data))
        # Since 6.12 the tables list their own parts. In a draft, whose parts are empty, these must be in order, too.
        content = bytes(contents[part]) or bytes(1)
        data += content + bytes(-len(content) % (form.align if part in form.constant else ROOM))
    moved = home if "relative_base" in form.parts else None
    names, base_offset = ((moved.name,), tables.relative_base - moved.address) if moved else ((), 0)
    return KallsymsTable(
        rule, arch, bytes(data), len(tables.offsets), names, starts=tuple(starts), base_offset=base_offset
    )
