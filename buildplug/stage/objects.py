"""The object of a table that is bytes alone, as the assembler makes it of the table's text: sections, symbols, and
relocations by which the linker fills in the sections' addresses.

Starting a compiler driver and an assembler takes longer than linking a small kernel. Source: System V gABI, chapter 4.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from buildplug.arch.field import ABS32, ABS64, REL32, REL64
from buildplug.arch.model import Arch
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image import headers
from buildplug.image.headers import SHF_ALLOC, SHF_INFO_LINK, SHF_WRITE, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB
from buildplug.tables.format import Contents

SHT_PROGBITS, ET_REL, EV_CURRENT, STV_HIDDEN = 1, 1, 1, 2
FLAGS = {"a": SHF_ALLOC, "w": SHF_WRITE}
NAMES = ("", ".note.GNU-stack", ".symtab", ".strtab", ".shstrtab")


def relocation(contents: Contents) -> int | None:
    """The relocation type by which a word holds the address of a symbol, in a table that has parts, or else the
    distance from itself; None where it takes several."""
    arch = contents.arch
    field = ({32: ABS32, 64: ABS64} if contents.parts else {32: REL32, 64: REL64})[arch.bits]
    return next((number for number, of in sorted(arch.relocations.items()) if of == field), None)


def is_plain(contents: Contents) -> bool:
    """Whether an object can be made of a table without an assembler."""
    return contents.bases_at is not None and relocation(contents) is not None


def table(rule: Rule, contents: Contents, slack: int) -> bytes:
    """The object of a table that is_plain(), with `slack` spare bytes. One with parts takes whole units of its
    alignment, and its symbols are global: the kernel's own code has them."""
    assert contents.bases_at is not None
    names = [rule.anchor(number) for number in range(len(contents.section_names))]
    places = contents.bases_at + contents.arch.word * np.arange(len(names))
    encoded = memoryview(contents.encode())
    rest = contents.bases_at + contents.arch.word * len(names)
    addends = np.full(len(names), contents.context()["base_offset"]) if contents.parts else places
    words = addends if contents.arch.bits == 32 else 0 * addends  # SHT_REL has the addend in its field
    size = len(encoded) + slack
    padding = slack + (-size % rule.table.align if contents.parts else 0)
    based = words.astype(contents.arch.base_type).tobytes()
    data = b"".join((encoded[: contents.bases_at], based, encoded[rest:], bytes(padding)))
    defined = {rule.symbol: 0} | dict(contents.parts)
    made = _Relocations(relocation(contents) or 0, places, addends, names)
    return _object(contents.arch, rule, data, defined, made, size=size, hidden=not contents.parts)


def anchors(arch: Arch, rule: Rule, named: Sequence[tuple[str, str]]) -> bytes:
    """The object of the placeholders for the addresses of sections, as anchors.S.j2 has them: the anchors, and the
    names of their sections."""
    none = np.zeros(0, "i8")
    return _object(arch, rule, b"", {anchor: 0 for anchor, _ in named}, _Relocations(0, none, none, ()))


@frozen
class _Relocations:
    """Relocations of one type: their offsets, addends, and the symbols that they are against."""

    type: int
    places: headers.Array
    addends: headers.Array
    symbols: Sequence[str]


def _object(
    arch: Arch, rule: Rule, data: bytes, defined: Mapping[str, int], relocated: _Relocations, *, size: int = 0,
    hidden: bool = True,
) -> bytes:  # fmt: skip
    """An object of one section, with the symbols `defined`, at their offsets in it; the first is of `size` bytes."""
    wide = arch.bits == 64
    marks = ("$d",) if data and any(mark.startswith("$d") for mark in arch.marks) else ()  # that it is no code
    local = 1 + len(marks)
    kind = headers.rela(arch) if wide else headers.record(headers.REL, arch)
    names = [name.encode(errors="surrogateescape") for name in (*marks, *defined, *relocated.symbols)]
    strings = b"\0".join([b"", *names, b""])
    symbols = np.zeros(1 + len(names), headers.record(headers.SYMBOL[arch.bits], arch))
    symbols["name"][1:] = (np.flatnonzero(np.frombuffer(strings, "u1") == 0) + 1)[:-1]
    symbols["section"][1 : local + len(defined)] = 1
    symbols["info"][local:] = headers.STB_GLOBAL << 4
    own = symbols[local : local + len(defined)]
    own["value"], own["other"], own["size"][:1] = [*defined.values()], STV_HIDDEN * hidden, size
    own["info"][: 1 if size else 0] |= headers.STT_OBJECT
    relocations = np.zeros(len(relocated.symbols), kind)
    relocations["offset"] = relocated.places
    numbers = np.arange(len(relocations), dtype="u8") + np.uint64(local + len(defined))
    relocations["info"] = numbers << np.uint64(32 if wide else 8) | np.uint64(relocated.type)
    if wide:
        relocations["addend"] = relocated.addends

    prefix, of_relocations = (".rela", SHT_RELA) if wide else (".rel", SHT_REL)
    stack, symtab, strtab, shstrtab = NAMES[1:]
    parts = [  # name, type, flags, content, link, info, alignment, size of an entry
        (rule.section, SHT_PROGBITS, sum(FLAGS[flag] for flag in rule.table.flags), data, 0, 0, rule.table.align, 0),
        (prefix + rule.section, of_relocations, SHF_INFO_LINK, relocations.tobytes(), 4, 1, arch.word, kind.itemsize),
        (stack, SHT_PROGBITS, 0, b"", 0, 0, 1, 0),
        (symtab, SHT_SYMTAB, 0, symbols.tobytes(), 5, local, arch.word, symbols.itemsize),
        (strtab, SHT_STRTAB, 0, strings, 0, 0, 1, 0),
    ]
    titles = [name.encode() for name, *_ in parts] + [shstrtab.encode()]
    parts.append((shstrtab, SHT_STRTAB, 0, b"\0".join([b"", *titles, b""]), 0, 0, 1, 0))
    file = np.zeros(1, headers.record(headers.FILE, arch))
    sections = np.zeros(1 + len(parts), headers.record(headers.SECTION, arch))
    content, at, name = list[bytes](), file.itemsize, 1
    for section, (title, type_, flags, bytes_, link, info, alignment, entry) in zip(sections[1:], parts, strict=True):
        padding = bytes(-at % max(alignment, 1))
        content += padding, bytes_
        at += len(padding) + len(bytes_)
        section["name"], section["type"], section["flags"], section["offset"] = name, type_, flags, at - len(bytes_)
        section["size"], section["link"], section["info"] = len(bytes_), link, info
        section["alignment"], section["entsize"] = alignment, entry
        name += len(title.encode()) + 1
    content.append(bytes(-at % arch.word))
    ident = b"\x7fELF" + bytes((arch.bits // 32, 1 + (arch.byteorder == ">"), EV_CURRENT))
    file["ident"] = np.void(ident.ljust(16, b"\0"))
    file["type"], file["machine"], file["version"], file["shoff"] = (
        ET_REL,
        arch.machine,
        EV_CURRENT,
        at + len(content[-1]),
    )
    file["ehsize"], file["shentsize"] = file.itemsize, sections.itemsize
    file["shnum"], file["shstrndx"] = len(sections), len(sections) - 1
    return b"".join([file.tobytes(), *content, sections.tobytes()])
