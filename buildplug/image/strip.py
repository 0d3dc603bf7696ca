"""Removes the relocations that --emit-relocs kept from a linked image. Allocated sections keep their file offsets;
later content moves up. Source: System V gABI, chapters 4 and 5."""

import shutil
from pathlib import Path

import numpy as np

from buildplug.base.files import replacing
from buildplug.image.elf import Image
from buildplug.image.headers import (
    FILE,
    MOST_SECTIONS,
    SHF_ALLOC,
    SHF_INFO_LINK,
    SHN_XINDEX,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    SYMBOL,
    Array,
    Section,
    among,
    record,
)

PAGE = 4096


def drop(path: Path, output: Path) -> None:
    """Writes the image at `path` without kept relocations to `output`, same mode. Raises BuildplugError."""
    image = Image(path)
    file, sections = headers_of(image)
    keep = (sections["flags"] & SHF_ALLOC != 0) | ~among(sections["type"], (SHT_RELA, SHT_REL))
    extended = sections["type"] == SHT_SYMTAB_SHNDX
    if (keep & ~extended).sum() <= MOST_SECTIONS:
        keep &= ~extended  # the numbers of all sections fit into the symbols
    numbers = np.where(keep, np.cumsum(keep) - 1, 0)
    stored = ~among(sections["type"], (0, SHT_NOBITS))
    loaded = stored & (sections["flags"] & SHF_ALLOC != 0)
    first = int(file["phoff"]) + image.segments.nbytes if len(image.segments) else 0
    end = max(first, int(file["ehsize"]), int((sections["offset"] + sections["size"])[loaded].max(initial=0)))
    with replacing(output) as scratch, scratch.open("r+b") as out:
        out.write(image.data[:end].data)
        moves, indexed = stored & ~loaded, among(sections["type"], (SHT_SYMTAB, SHT_DYNSYM))
        order = np.argsort(sections["offset"], kind="stable")
        for index in order[(keep & (moves | (indexed & stored)))[order]].tolist():
            content = _renumbered(image, index, keep, numbers)
            if moves[index]:
                end += -end % min(max(1, int(sections["alignment"][index])), PAGE)  # no loader aligns it in memory
                if sections["type"][index] == SHT_SYMTAB:  # info: the number of local symbols
                    gone = int(sections["size"][index]) - len(content)
                    sections["info"][index] -= gone // record(SYMBOL[image.arch.bits], image.arch).itemsize
                sections["offset"][index], sections["size"][index], end = end, len(content), end + len(content)
            out.seek(int(sections["offset"][index]))
            out.write(content.data)
        at = end + -end % 8
        linked = (sections["flags"] & SHF_INFO_LINK != 0) & keep
        sections["info"][linked] = numbers[sections["info"][linked]]
        names = numbers[sections["link"][0] if file["shstrndx"] == SHN_XINDEX else file["shstrndx"]]
        sections["link"] = numbers[sections["link"]]
        file["shoff"], count = at, keep.sum()
        # what does not fit into the file header is in the first section header
        file["shnum"], sections["size"][0] = (count, 0) if count < MOST_SECTIONS else (0, count)
        file["shstrndx"], sections["link"][0] = (names, 0) if names < MOST_SECTIONS else (SHN_XINDEX, names)
        out.seek(at)
        out.write(sections[keep].tobytes())
        out.seek(0)
        out.write(file.tobytes())
        shutil.copymode(path, scratch)


def headers_of(image: Image) -> tuple[Array, Array]:
    """Copies of the file header, shape (), and section headers, shape (n,). Raises BuildplugError."""
    file = np.frombuffer(image.data, record(FILE, image.arch), 1)[0].copy()
    sections = image.headers.copy()
    linked = np.append(sections["link"], sections["info"][sections["flags"] & SHF_INFO_LINK != 0])
    if linked.max() >= len(sections):
        raise image.bad(f"expected links to {len(sections)} sections, found one to section {linked.max()}")
    return file, sections


def _renumbered(image: Image, index: int, keep: Array, numbers: Array) -> Array:
    """The content of a section, uint8. Symbols get new section numbers; those of removed sections (mold has some) are
    removed."""
    section = image.sections[index]
    if section.type == SHT_SYMTAB_SHNDX:
        return _symbols(image, image.sections[section.link], keep, numbers)[1].view(np.uint8)
    if section.type in (SHT_SYMTAB, SHT_DYNSYM):
        return _symbols(image, section, keep, numbers)[0].view(np.uint8)
    return image.bytes_of(section)


def _symbols(image: Image, table: Section, keep: Array, numbers: Array) -> tuple[Array, Array]:
    """The records of a symbol table with new section numbers, and those of its SHT_SYMTAB_SHNDX section."""
    symbols = image.records(table, record(SYMBOL[image.arch.bits], image.arch)).copy()
    of_table = (image.headers["type"] == SHT_SYMTAB_SHNDX) & (image.headers["link"] == table.index)
    homes, plain = symbols["section"].astype("u4"), symbols["section"] < MOST_SECTIONS
    for section in image.sections.at(of_table):
        extended = image.records(section, np.dtype(f"{image.arch.byteorder}u4"))[: len(symbols)]
        escaped = np.flatnonzero(symbols["section"][: len(extended)] == SHN_XINDEX)
        homes[escaped], plain[escaped] = extended[escaped], True
    plain &= homes < len(numbers)
    homes = np.where(plain, homes, 0)
    stays, homes = ~plain | keep[homes], numbers[homes]
    wide = plain & (homes >= MOST_SECTIONS)
    symbols["section"][plain] = np.where(wide, SHN_XINDEX, homes)[plain]
    return symbols[stays], np.where(wide, homes, 0)[stays].astype(f"{image.arch.byteorder}u4")
