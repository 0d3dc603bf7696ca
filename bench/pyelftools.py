"""A peer for comparison: reads every relocation of an ELF file with pyelftools. Argument: the file."""

import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

with Path(sys.argv[1]).open("rb") as file:
    count = 0
    for section in ELFFile(file).iter_sections():
        if isinstance(section, RelocationSection):
            for relocation in section.iter_relocations():
                row = (
                    relocation["r_offset"],
                    relocation["r_info_sym"],
                    relocation["r_info_type"],
                    relocation["r_addend"],
                )
                count += len(row) == 4
print(count)
