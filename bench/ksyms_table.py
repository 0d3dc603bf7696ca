"""Our side of bench/ksyms.py, the process that is timed: `python bench/ksyms_table.py symbols FOLDER` makes table.S and
table.bin in FOLDER from the symbols in its files, `image FOLDER VMLINUX` from those of an image.
"""

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildplug.image.headers import Array
    from buildplug.tables.ksyms_format import Ksyms


def main(what: str, folder: Path, vmlinux: str = "") -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # this and the next, as cli.py has it
    gc.disable()
    write(folder, from_image(Path(vmlinux)) if what == "image" else from_files(folder))


def from_image(vmlinux: Path) -> "Ksyms":
    """A table, at address 0, of the symbols in Linux's own table."""
    from buildplug.config.rule import find
    from buildplug.image.elf import Image
    from buildplug.tables.ksyms import collected

    return collected(Image(vmlinux), find("linux-kallsyms", Path.cwd()), 0)


def save(folder: Path, table: "Ksyms") -> None:
    """Writes the symbols of a table to files for from_files()."""
    import numpy as np

    (folder / "names").write_bytes(b"\0".join(table.names))
    for field in ("rows", "sections", "bases"):
        np.save(folder / field, getattr(table, field))


def from_files(folder: Path) -> "Ksyms":
    import numpy as np

    rows, kept, bases = (np.load(folder / f"{field}.npy") for field in ("rows", "sections", "bases"))
    return again(kept, bases, rows, (folder / "names").read_bytes().split(b"\0"))


def again(kept: "Array", bases: "Array", rows: "Array", names: list[bytes], raw: "Sequence[bytes]" = ()) -> "Ksyms":
    """A table of rows and names, with the sections and bases of another table."""
    import numpy as np

    from buildplug.arch.x86 import X86_64
    from buildplug.image.names import Names
    from buildplug.tables.ksyms_format import SECTION, collect

    sections = np.zeros(len(kept), SECTION)
    sections["size"], sections["flags"], sections["base"] = kept["size"], kept["flags"], bases.view("u8")
    return collect(X86_64, sections, [*map(str, range(len(kept)))], rows, Names.of(names), "bench", raw=raw)


def write(folder: Path, table: "Ksyms") -> None:
    from buildplug.tables.ksyms_codec import encode
    from buildplug.tables.ksyms_format import ABSOLUTE

    data = encode(table)
    (folder / "table.bin").write_bytes(data)
    lines = ['.section .ksyms, "a", @progbits', ".balign 16", ".globl table", "table:"]
    lines.append(f'.incbin "{folder / "table.bin"}", 0, {len(data) - 8 * len(table.sections)}')
    for number, (flags, base) in enumerate(zip(table.sections["flags"].tolist(), table.bases.tolist(), strict=True)):
        lines.append(f".quad {base}" if flags & ABSOLUTE else f".quad section_{number} - table")
    (folder / "table.S").write_text("\n".join([*lines, '.section .note.GNU-stack, "", @progbits', ""]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
