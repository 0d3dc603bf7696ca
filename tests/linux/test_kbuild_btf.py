"""Linux with type information (BTF) by our link stage: the link that pahole reads, and one more."""

import os
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from buildplug.base.data import build_system
from buildplug.image.elf import Image
from tests import linux_image
from tests.conftest import tool
from tests.linux.conftest import folder
from tests.linux.test_kbuild_linux import BZIMAGE, check_kallsyms
from tests.linux_boot import boot
from tests.linux_image import FIXED, Linux
from tests.samples import buildplug, logging_tool

pytestmark = [pytest.mark.linux, pytest.mark.slow]  # Linux is compiled anew
LONG_TERM = linux_image.LONG_TERM.stage
TYPED = [linux for linux in linux_image.LINUXES if linux.stage.typed]
SHF_ALLOC = 2
RELA = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
MODULE = """
#include <linux/module.h>
#include <linux/sched.h>
struct odd_types { struct task_struct *task; int odd; };
struct odd_types odd_value;
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("odd");
"""
WIDTHS = {1: 8, 2: 4, 4: 4, 10: 4, 11: 4, 24: 8}  # bytes of a field by the type of its relocation (x86-64 psABI)
BEHIND = {2: 4, 4: 4}  # bytes from a field to the place that its distance counts from, mostly


@pytest.fixture(scope="session", params=TYPED, ids=lambda linux: linux.stage.version)
def linux(request: pytest.FixtureRequest) -> Linux:
    """The versions that link for pahole with tables. Before these it is with none, and not by our stage."""
    found: Linux = request.param
    return found


@pytest.fixture(scope="module")
def stock(linux: Linux, linux_tree: Path) -> Path:
    """The tree as Linux's own stage has built it; where that version is tested at all."""
    return linux_image.typed(linux)


@pytest.fixture(scope="module")
def tree(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of that, built by ours; the linker's runs in ld.log."""
    with folder(tmp_path_factory) as made:
        tree = linux_image.copy(stock, made / "linux")
        logging_tool(made / "ld", "ld", made / "ld.log")
        build(tree, "bzImage")
        yield tree


def build(tree: Path, target: str) -> None:
    (tree.parent / "ld.log").unlink(missing_ok=True)
    done = buildplug("kbuild", tree, "--", *FIXED, target, env={"PATH": f"{tree.parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr


def linked(tree: Path) -> list[str]:
    """The names of the images of the kernel that have been linked, in order."""
    runs = [line.split() for line in (tree.parent / "ld.log").read_text().splitlines()]
    whole = [words for words in runs if "--script=./arch/x86/kernel/vmlinux.lds" in words]
    return [Path(words[len(words) - words[::-1].index("-o")]).name for words in whole]


def test_there_are_two_links_that_for_pahole_and_one_more(linux: Linux, tree: Path) -> None:
    assert linked(tree) == [linux.stage.typed, linux.image]


@pytest.mark.parametrize("linux", [linux_image.LONG_TERM], ids=["6.12"], indirect=True, scope="session")
@pytest.mark.parametrize(
    ("ld", "configuration", "table"),
    [
        ("ld", LONG_TERM.paravirt, "__bp_altinstructions"),  # those that the macros list stand there a second time
        ("ld.lld-19", LONG_TERM.kallsyms, "__bp_kallsyms_6_12"),
        ("ld.lld-19", LONG_TERM.paravirt, "__bp_altinstructions"),
    ],
    ids=["paravirt", "lld", "paravirt-lld"],
)
def test_there_are_two_links_with_paravirt_sites_and_by_lld_too(
    linux: Linux, stock: Path, ld: str, configuration: str, table: str, tmp_path: Path
) -> None:
    log, program = tmp_path / "ld.log", logging_tool(tmp_path / "ld", ld, tmp_path / "ld.log")
    words = [word for word in linux_image.link_words(stock, linux) if ld == "ld" or word != "--no-warn-rwx-segments"]
    ours: list[str | Path] = ["--config", build_system(configuration), "--ld", program, f"--empty={linux.stage.typed}"]
    for output, types in ((linux.stage.typed, []), (linux.image, [".tmp_vmlinux1.btf.o"])):
        done = buildplug("ld", *ours, *words, *types, "-o", tmp_path / output, cwd=stock)
        assert (done.returncode, done.stderr) == (0, "")
        if not types:  # lld keeps an empty .BTF, which then grows over the sections behind it
            tool("env", "LLVM_OBJCOPY=objcopy", "pahole", "-J", tmp_path / output)
    assert len([line for line in log.read_text().splitlines() if " -o " in line]) == 2
    made, given = Image(tmp_path / linux.image), Image(stock / ".tmp_vmlinux1.btf.o")
    assert made.address_of(table)
    assert made.bytes_of(made.section(".BTF")).tobytes() == given.bytes_of(given.section(".BTF")).tobytes()
    listed = tool("nm", "-n", made.path).splitlines(keepends=True)
    theirs = (line for line in listed if not line.split()[-1].startswith(("__bp_", "____bp_")))
    (tmp_path / "all").write_text("".join(theirs))
    (tmp_path / "map").write_text(tool("sed", "-f", stock / "scripts/mksysmap", tmp_path / "all"))
    expected = tool(stock / "scripts/kallsyms", *linux.kallsyms, tmp_path / "map")
    assert buildplug("ksyms", made.path, "--format", linux.format).stdout == expected


def test_after_a_change_there_are_two_links_although_the_tables_have_outgrown_the_previous_room(
    linux: Linux, tree: Path, tmp_path: Path
) -> None:
    changed = linux_image.copy(tree, tmp_path / "linux")
    logging_tool(tmp_path / "ld", "ld", tmp_path / "ld.log")
    source = changed / "kernel/notifier.c"
    functions = (f"int added_{n}(int x);\nint added_{n}(int x) {{ return x + {n}; }}\n" for n in range(500))
    text = source.read_text() + "".join(functions)
    source.unlink()  # it is a link
    source.write_text(text)
    build(changed, "vmlinux")
    assert linked(changed) == [linux.stage.typed, linux.image]
    before, after = (Image(folder / linux.image).section(".bp_kallsyms").size for folder in (tree, changed))
    assert before < after
    assert " added_499\n" in (changed / "System.map").read_text()


@pytest.mark.parametrize("linux", [linux_image.LONG_TERM], ids=["6.12"], indirect=True, scope="session")
def test_a_module_has_the_type_information_of_the_stock_build(tree: Path, stock: Path, tmp_path: Path) -> None:
    """Pahole makes it of what the module has beyond the kernel's own (DEBUG_INFO_BTF_MODULES)."""
    found = []
    for name, built in (("ours", tree), ("stock", stock)):
        copied, module = linux_image.copy(built, tmp_path / name), tmp_path / "module" / "odd"
        module.mkdir(parents=True)
        (module / "Kbuild").write_text("obj-m := odd.o\n")
        (module / "odd.c").write_text(MODULE)
        for words in (["modules_prepare"], [f"M={module}", "KBUILD_MODPOST_WARN=1", "modules"]):
            tool("make", "-C", copied, *FIXED, *words)
        image = Image(module / "odd.ko")
        found.append(image.bytes_of(image.section(".BTF")).tobytes())
        module.parent.rename(tmp_path / f"{name}.module")
    assert b"odd_types" in found[0]
    assert found[0] == found[1]


def test_sysfs_has_the_section_that_pahole_made(linux: Linux, tree: Path, tmp_path: Path) -> None:
    output, _ = boot(tree / BZIMAGE, "-- crc32 /sys/kernel/btf/vmlinux", lambda _: (), tmp_path)
    types = contents(tree / linux.image)[".BTF"].data
    assert len(types) > 1 << 20
    assert f"{zlib.crc32(types):08x} {len(types):08x}" in output.split("\n")


def test_kallsyms_of_the_booted_kernel_equals_system_map(linux: Linux, tree: Path, stock: Path, tmp_path: Path) -> None:
    output, _ = boot(tree / BZIMAGE, "-- /proc/kallsyms", lambda _: (), tmp_path)
    check_kallsyms(linux, output, tree, stock)


@dataclass(frozen=True)
class Part:
    """A section that is loaded. fields: what the linker filled in by relocations, as (offset, type, what it refers to,
    offset there)."""

    data: bytes
    fields: list[tuple[int, int, str, int]]

    @property
    def unfilled(self) -> bytes:
        """Its bytes with zeros in the fields."""
        data = bytearray(self.data)
        for offset, kind, *_ in self.fields:
            data[offset : offset + WIDTHS[kind]] = bytes(WIDTHS[kind])
        return bytes(data)


@dataclass(frozen=True)
class Pieces:
    """The input sections in a section, without kallsyms and padding: their offsets and sizes."""

    section: str = ""
    starts: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    def joined(self, data: bytes) -> bytes:
        return b"".join(data[start : start + size] for start, size in zip(self.starts, self.sizes, strict=True))

    def offset(self, offset: int) -> int:
        """An offset in the section, or what is before it, in joined()."""
        number = max(bisect_right(self.starts, offset) - 1, 0)
        return sum(self.sizes[:number]) + min(offset - self.starts[number], self.sizes[number])

    def has(self, offset: int) -> bool:
        return any(0 <= offset - start < size for start, size in zip(self.starts, self.sizes, strict=True))


def pieces(linker_map: Path, section: str) -> Pieces:
    """As the linker's map says."""
    text = linker_map.read_text()
    start = re.search(rf"^{re.escape(section)}\s+(0x\w+)\s+0x", text, re.MULTILINE)
    assert start
    end = re.compile(r"^\S", re.MULTILINE).search(text, start.end())
    assert end
    listed = text[start.end() : end.start()]
    rows = re.findall(r"^ \S+\s+(0x\w+)\s+(0x\w+) (\S+\.o)$", listed, re.MULTILINE)
    found = [(int(at, 16) - int(start[1], 16), int(size, 16)) for at, size, name in rows if "kallsyms" not in name]
    starts, sizes = zip(*((at, size) for at, size in found if size), strict=True)
    return Pieces(section, starts, sizes)


def contents(image: Path, apart: Pieces | None = None) -> dict[str, Part]:
    """The loaded sections of an image by name; that of `apart` is joined()."""
    found, apart = {}, apart or Pieces()
    with image.open("rb") as file:
        elf = ELFFile(file)
        sections = list(elf.iter_sections())
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        symbols = [(s.name, s["st_info"]["type"], s["st_shndx"]) for s in table.iter_symbols()]
        relocations = {s["sh_info"]: s for s in sections if s["sh_type"] == "SHT_RELA"}
        for number, section in enumerate(sections):
            if not section["sh_flags"] & SHF_ALLOC or section["sh_type"] == "SHT_NOBITS":
                continue
            fields, data = [], section.data()
            rows = np.frombuffer(relocations[number].data() if number in relocations else b"", RELA)
            for address, kind, symbol, addend in rows.tolist():
                (name, of, home), at = symbols[symbol], address - section["sh_addr"]
                if of == "STT_SECTION":
                    name = sections[home].name
                    if name == apart.section:
                        addend = apart.offset(addend + BEHIND.get(kind, 0)) - BEHIND.get(kind, 0)
                if kind and section.name != apart.section:
                    fields.append((at, kind, name, addend))
                elif kind and apart.has(at):
                    fields.append((apart.offset(at), kind, name, addend))
            found[section.name] = Part(apart.joined(data) if section.name == apart.section else data, fields)
    return found


def test_every_section_but_that_of_kallsyms_is_as_the_stock_build_has_it(
    linux: Linux, tree: Path, stock: Path, tmp_path: Path
) -> None:
    """Its bytes are, and what its fields refer to. Addresses are others behind kallsyms, which Linux has in the middle
    of .rodata, and which lies behind that here. The build-id, in .notes, is of all bytes."""
    words = [*linux_image.link_words(stock, linux), ".tmp_vmlinux1.btf.o"]  # --emit-relocs is among them
    theirs, ours, config = tmp_path / "stock", tmp_path / linux.image, build_system(linux.stage.kallsyms)
    last = max(path.name for path in stock.glob(".tmp_vmlinux?.kallsyms.o"))
    tool("ld", *words, last, "-o", theirs, f"-Map={theirs}.map", cwd=stock)
    done = buildplug("ld", "--config", config, "--ld", "ld", *words, "-o", ours, f"-Map={ours}.map", cwd=tree)
    assert done.returncode == 0, done.stderr
    one, other = (contents(image, pieces(Path(f"{image}.map"), ".rodata")) for image in (theirs, ours))
    assert other.keys() - one.keys() == {".bp_kallsyms"}
    assert not one.keys() - other.keys()
    assert {name for name, part in one.items() if part.unfilled != other[name].unfilled} == {".notes"}
    assert [name for name, part in one.items() if part.fields != other[name].fields] == []
    assert len(one[".text"].fields) > 10000
    for image, tree_ in ((one, stock), (other, tree)):  # these are the images that were built
        built = contents(tree_ / linux.image)
        assert built[".text"].data == image[".text"].data
    assert contents(tree / linux.image)[".BTF_ids"] == contents(stock / linux.image)[".BTF_ids"]
