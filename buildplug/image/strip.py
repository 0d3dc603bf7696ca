"""Removes the relocations that --emit-relocs kept from a linked image. Allocated sections keep their file offsets;
later content moves up. Source: System V gABI, chapters 4 and 5."""

import shutil
from pathlib import Path

import numpy as np

from buildplug.base.files import replacing
from buildplug.image.elf import Image
from buildplug.image.headers import (
    FILE,
    SHF_ALLOC,
    SHF_INFO_LINK,
    SHN_LORESERVE,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    SYMBOL,
    Array,
    record,
)

PAGE = 4096


def drop(path: Path, output: Path) -> None:
    """Writes the image at `path` without kept relocations to `output`, same mode. Raises BuildplugError."""
    image = Image(path)
    file, sections = headers_of(image)
    keep = (sections["flags"] & SHF_ALLOC != 0) | ~np.isin(sections["type"], (SHT_RELA, SHT_REL))
    numbers = np.where(keep, np.cumsum(keep) - 1, 0)
    stored = ~np.isin(sections["type"], (0, SHT_NOBITS))
    loaded = stored & (sections["flags"] & SHF_ALLOC != 0)
    first = int(file["phoff"]) + image.segments.nbytes if len(image.segments) else 0
    end = max(first, int(file["ehsize"]), int((sections["offset"] + sections["size"])[loaded].max(initial=0)))
    with replacing(output) as scratch, scratch.open("r+b") as out:
        out.write(image.data[:end].data)
        for index in np.argsort(sections["offset"], kind="stable").tolist():
            content = _renumbered(image, index, keep, numbers)
            if keep[index] and stored[index] and not loaded[index]:
                end += -end % min(max(1, int(sections["alignment"][index])), PAGE)  # no loader aligns it in memory
                if sections["type"][index] == SHT_SYMTAB:  # info: the number of local symbols
                    gone = int(sections["size"][index]) - len(content)
                    sections["info"][index] -= gone // record(SYMBOL[image.arch.bits], image.arch).itemsize
                sections["offset"][index], sections["size"][index], end = end, len(content), end + len(content)
            if keep[index] and stored[index] and (not loaded[index] or sections["type"][index] == SHT_DYNSYM):
                out.seek(int(sections["offset"][index]))
                out.write(content.data)
        at = end + -end % 8
        linked = (sections["flags"] & SHF_INFO_LINK != 0) & keep
        sections["info"][linked] = numbers[sections["info"][linked]]
        sections["link"] = numbers[sections["link"]]
        file["shoff"], file["shnum"] = at, keep.sum()
        file["shstrndx"] = numbers[file["shstrndx"]]
        out.seek(at)
        out.write(sections[keep].tobytes())
        out.seek(0)
        out.write(file.tobytes())
        shutil.copymode(path, scratch)


def headers_of(image: Image) -> tuple[Array, Array]:
    """Copies of the file header, shape (), and section headers, shape (n,). Raises BuildplugError."""
    file = np.frombuffer(image.data, record(FILE, image.arch), 1)[0].copy()
    sections = image.headers.copy()
    if len(sections) >= SHN_LORESERVE or sections["link"].max() >= len(sections):
        raise image.bad(f"expected fewer than {SHN_LORESERVE} sections that exist, found {len(sections)}")
    return file, sections


def _renumbered(image: Image, index: int, keep: Array, numbers: Array) -> Array:
    """The content of a section, uint8. Symbols get new section numbers; those of removed sections (mold has some) are
    removed."""
    section = image.sections[index]
    content = image.bytes_of(section)
    if section.type not in (SHT_SYMTAB, SHT_DYNSYM):
        return content
    symbols = image.records(section, record(SYMBOL[image.arch.bits], image.arch)).copy()
    named = symbols["section"]
    plain = named < min(SHN_LORESERVE, len(numbers))
    stays = ~plain
    stays[plain] = keep[named[plain]]
    named[plain] = numbers[named[plain]]
    return symbols[stays].view(np.uint8)
