"""Whether the input objects' own relocations give the references that --emit-relocs keeps, and for less:
`python -m bench.input_relocations [FILES | linux]`, in a kernel of so many large files, or in the cached small Linux.

An object's relocations are placed by the map that the linker writes (-Map=), and resolved by the symbols of the image.
Each linker links three times: plainly; with --emit-relocs, whose output is read; with -Map, and then the map and the
objects are read. A reference is a section, an offset, a type, and a target: the symbol's address plus the addend.

`python -m bench.input_relocations FOLDER KEPT PLAIN MAP` compares the references of other links made in FOLDER.
"""

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench import kernel
from bench.costs import BUILDPLUG, best, row, run
from bench.placed_relocations import from_objects, kept
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from tests.linux_image import cached, copy

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
LINUX = (
    "--script=arch/x86/kernel/vmlinux.lds", "--whole-archive", "vmlinux.a", ".vmlinux.export.o",
    "init/version-timestamp.o", "--no-whole-archive", "lib/lib.a", "arch/x86/lib/lib.a", ".tmp_vmlinux.kallsyms2.o",
)  # fmt: skip
SHOWN = 5  # of the references that differ


def differences(one: Image, ours: Array, other: Image, theirs: Array) -> list[str]:
    """What two links' lists of references differ in, in lines, none if they are equal. Sections are those of a name."""
    index = dict(zip(reversed(one.sections.names), reversed(range(len(one.sections))), strict=True))
    same = np.array([index.get(name, 0) for name in other.sections.names])
    lists: list[Array] = []
    for rows, sections in ((ours, np.arange(len(one.sections))), (theirs, same)):
        columns = (sections[rows["section"]], rows["offset"], rows["type"], rows["target"])
        lists.append(np.stack(columns, axis=1, dtype=">u8", casting="unsafe").view("V32").ravel())
    lines = []
    for what, some, others in (("objects'", lists[0], lists[1]), ("linker's", lists[1], lists[0])):
        only = np.setdiff1d(some, others).view(">u8").reshape(-1, 4)
        if len(only):
            names = [one.sections.names[section] for section in np.unique(only[:, 0])]
            lines.append(f"    only in the {what} list: {len(only):,}, in {' '.join(names[:SHOWN])}")
        for section, offset, kind, target in only[:SHOWN].tolist():
            lines.append(f"      {one.sections.names[section]}+{offset:#x}, type {kind}: {target:#x}")
    return lines or ([] if len(ours) == len(theirs) else [f"    {len(ours):,} references, not {len(theirs):,}"])


def unlike(image: Image, rows: Array) -> int:
    """How many fields do not hold their reference, of those that a linker may not have rewritten."""
    wrong = 0
    for kind, form in image.arch.relocations.items():
        if kind not in image.arch.relaxed:
            at = np.flatnonzero(rows["type"] == kind)
            sections, offsets = rows["section"][at], rows["offset"][at]
            words, pc = image.words(sections, offsets, form.size), offsets + image.addresses[sections]
            holds = form.holds(words, pc, rows["target"][at], min(8 * form.size, image.arch.bits))
            wrong += int(np.count_nonzero(~np.asarray(holds, bool)))
    return wrong


def compare(folder: Path, kept_path: Path, plain_path: Path, map_path: Path) -> list[str]:
    """The result of comparing two links in words: the first line, notes, and what differs."""
    plain, kept_image = Image(folder / plain_path), Image(folder / kept_path)
    found, expected = from_objects(plain, folder, folder / map_path), kept(kept_image)
    lines = differences(plain, found.rows, kept_image, expected.rows)
    found.notes["fields that do not hold what the objects' list says"] = unlike(plain, found.rows)
    notes = [f"    {count:,} {note}" for note, count in found.notes.items() if count]
    answer = "differ" if lines else "equal"
    return [f"  lists {answer}: {len(found.rows):,} references, --emit-relocs {len(expected.rows):,}", *notes, *lines]


def measure(folder: Path, link: list[str], name: str) -> None:
    """Prints what a linker's three links cost, and the two readings, in plain links; and compares the lists."""
    reader: list[str | Path] = [sys.executable, "-m", "bench.input_relocations", folder]
    plain, emitting, mapping, read_kept, read_objects = best(
        ROUNDS,
        lambda _: run([*link, "-o", "bare"], folder),
        lambda _: run([*link, "--emit-relocs", "-o", "kept"], folder),
        lambda _: run([*link, "-Map=map", "-o", "bare"], folder),
        lambda _: run([*reader, "kept"], ROOT),
        lambda _: run([*reader, "bare", "map"], ROOT),
    )
    sides = (("--emit-relocs", emitting, read_kept), ("-Map and objects", mapping, read_objects))
    for how, linking, reading in sides:
        row(f"{name}, {how}", linking.processor + reading.processor, plain.processor, "s", "of processors, over plain")
        row("... the link", linking.processor, plain.processor, "s", "")
        row("... the reading", reading.processor, plain.processor, "s", "Python and numpy included")
        row("... elapsed", linking.seconds + reading.seconds, plain.seconds, "s", "")
        row("... memory", max(linking.peak, reading.peak), plain.peak, "MiB", "of the larger process")
    print("\n".join(compare(folder, Path("kept"), Path("bare"), Path("map"))), flush=True)


def kernels(files: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        root = Path(folder) / "kernel"
        kernel.write(root, files)
        run([*BUILDPLUG, "build"], root)
        record = json.loads((root / "build" / "vmlinux.buildplug.json").read_text())
        _, *words = [word for word in record["commands"]["draft"] if word != "--emit-relocs"]
        words = words[: words.index("-o")]
        drivers = [word for word in words if "/driver" in word]
        links = {
            "ld": words,
            "ld.lld": words,
            "mold": ["--no-fork", "--unresolved-symbols=ignore-all", *drivers],
        }  # mold: no scripts
        for linker in filter(shutil.which, links):
            measure(root, [linker, *links[linker]], linker)


def linux() -> None:
    """The same of the cached small Linux, whose kernel is linked from an archive of over a thousand small objects."""
    vmlinux = cached()
    if vmlinux is None:
        sys.exit("bench: expected a built Linux, found none: `make test-linux` builds it")
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        tree = copy(vmlinux.parent, Path(folder) / "linux")
        said = shlex.split((tree / ".vmlinux.cmd").read_text().splitlines()[0].split(":=")[1].split(";")[0])
        flags = [word for words in said[2:] for word in words.split() if word != "--emit-relocs"]
        measure(tree, ["ld", *flags, *LINUX], "Linux, ld")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["linux"]:
            linux()
        case [folder, image]:
            kept(Image(Path(folder, image)))
        case [folder, image, map_name]:
            from_objects(Image(Path(folder, image)), Path(folder), Path(folder, map_name))
        case [folder, kept_name, plain_name, map_name]:
            print("\n".join(compare(Path(folder), Path(kept_name), Path(plain_name), Path(map_name))))
        case _:
            kernels(int(arguments[0]) if arguments else kernel.FILES)


if __name__ == "__main__":
    main(sys.argv[1:])
