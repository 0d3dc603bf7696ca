"""Instructions that the fixup executes for a site: `python -m bench.fixup`. Counted by QEMU in the sample kernel with
thousands of additional sites; includes checks, writes by the default writer, and the table's checksum.
"""

import json
import tempfile
from pathlib import Path

from bench.executed import Variant, counted
from bench.kernel import REFERENCES
from bench.loss import copied
from buildplug.image.elf import Image
from buildplug.pipeline.run import build

SITES = 3000  # more than the sample kernel's own
ROUNDS = 10


def instructions(folder: Path) -> tuple[int, float]:
    """The number of sites, and instructions for each, of a kernel built in a new folder."""
    copied(folder)
    code = "".join(f"\t{reference}\n" for reference in REFERENCES)
    count = SITES // len(REFERENCES)
    (folder / "more.S").write_text(f'\t.rept {count}\n{code}\t.endr\n\t.section .note.GNU-stack, "", @progbits\n')
    record = json.loads(build(folder, None, None).read_text())
    image, sites = folder / "build/vmlinux", record["tables"]["paravirt"]["rows"]
    return sites, counted(Variant(image, Image(image), "backend=native"), "fixup", ROUNDS) / ROUNDS / sites


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        sites, each = instructions(Path(name) / "kernel")
    print(f"fixup of {sites:,} sites: {each:.1f} instructions a site", flush=True)


if __name__ == "__main__":
    main()
