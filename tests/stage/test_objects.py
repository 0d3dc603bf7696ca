"""The objects of tables that are written without an assembler, compared with the assembler's."""

from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from buildplug.arch.model import Arch
from buildplug.arch.registry import by_name
from buildplug.config.rule import Rule, find
from buildplug.stage import objects, render
from buildplug.tables.kallsyms import FORMS, KallsymsTable
from buildplug.tables.packed import Packed
from tests.conftest import tool

ASSEMBLERS = {
    "x86_64": ("gcc", "-c"),
    "i386": ("gcc", "-m32", "-c"),
    "aarch64": ("aarch64-linux-gnu-as",),
    "riscv64": ("riscv64-linux-gnu-as", "-march=rv64ima", "-mabi=lp64"),  # as the kernel: no floating point
}
LINKERS = {
    "x86_64": ("ld", "ld.lld", "mold"),
    "i386": ("ld -m elf_i386", "ld.lld -m elf_i386", "mold -m elf_i386"),
    "aarch64": ("aarch64-linux-gnu-ld", "ld.lld -m aarch64linux"),
}
START = '.globl _start\n_start: .zero 16\n.data\n.zero 32\n.section .note.GNU-stack, "", %progbits\n'


@pytest.fixture(params=LINKERS)
def arch(request: pytest.FixtureRequest) -> Arch:
    return by_name(request.param, "tests")


def packed(rule: Rule, arch: Arch, names: tuple[str, ...], fixed: int) -> Packed:
    blob = bytes(range(1, 200))
    words = [*([0] * len(names)), *range(0x1000, 0x1000 + fixed)]
    data = blob.ljust(200, b"\0") + b"".join(word.to_bytes(arch.word, "little") for word in words)
    return Packed.of(rule, arch, data, 3, names, fixed)


def both(folder: Path, contents: Packed, slack: int) -> tuple[Path, Path]:
    """The object that is written, and the assembler's, by one name, as linkers may note it."""
    arch, rule = contents.arch, contents.rule
    for name in ("written", "assembled"):
        (folder / name).mkdir()
    (folder / "table.bin").write_bytes(contents.blob)
    (folder / "table.S").write_text(render.table(rule, contents, slack, folder, "table.bin"))
    tool(*ASSEMBLERS[arch.name], "table.S", "-o", "assembled/table.o", cwd=folder)
    (folder / "written" / "table.o").write_bytes(objects.table(rule, contents, slack))
    return folder / "written" / "table.o", folder / "assembled" / "table.o"


def with_parts(folder: Path, arch: Arch, name: str) -> KallsymsTable:
    """A table with the parts of Linux's kallsyms, eight bytes each."""
    rule = find(name, folder)
    parts = FORMS[rule.format].parts
    homes = (".text",) * (parts[-1] == "relative_base")
    starts = tuple(range(0, 8 * len(parts), 8))
    return KallsymsTable(rule, arch, bytes(range(8 * len(parts))), 4, homes, starts=starts, base_offset=16)


def said(path: Path, section: str) -> tuple[Any, ...]:
    """The table's section, the relocations and the symbols of an object, as pyelftools reads them."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        table, symbols = elf.get_section_by_name(section), elf.get_section_by_name(".symtab")
        assert table is not None and isinstance(symbols, SymbolTableSection)
        header = table.header
        head = {key: header[key] for key in ("sh_type", "sh_flags", "sh_size", "sh_addralign", "sh_entsize")}
        relocations = []
        for each in elf.iter_sections():
            if isinstance(each, RelocationSection) and each.num_relocations():
                assert elf.get_section(each["sh_info"]).name == section
                for row in each.iter_relocations():
                    symbol = symbols.get_symbol(row["r_info_sym"])
                    addend = row["r_addend"] if row.is_RELA() else 0
                    # a local symbol at the section's start, or that of the section, is the same place
                    relocations.append((row["r_offset"], row["r_info_type"], symbol.name, addend))
        known = [
            (symbol.name, symbol["st_value"], symbol["st_size"], dict(symbol["st_info"]), dict(symbol["st_other"]),
             symbol["st_shndx"] == "SHN_UNDEF" or elf.get_section(symbol["st_shndx"]).name)
            for symbol in symbols.iter_symbols() if symbol.name
        ]  # fmt: skip
        return head, table.data(), relocations, known, elf.header["e_machine"], elf.header["e_flags"]


@pytest.mark.parametrize(("names", "fixed", "slack"), [((), 0, 0), ((".text",), 0, 7), ((".text", ".data"), 3, 24)])
def test_an_object_is_what_the_assembler_makes(
    arch: Arch, names: tuple[str, ...], fixed: int, slack: int, tmp_path: Path
) -> None:
    rule = find("ksyms", tmp_path)
    written, assembled = both(tmp_path, packed(rule, arch, names, fixed), slack)
    assert said(written, rule.section) == said(assembled, rule.section)


@pytest.mark.parametrize("name", ["linux-kallsyms-6-12", "linux-kallsyms-7-3"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_an_object_with_parts_is_what_the_assembler_makes(machine: str, name: str, tmp_path: Path) -> None:
    contents = with_parts(tmp_path, by_name(machine, "tests"), name)
    found, expected = (said(path, ".bp_kallsyms") for path in both(tmp_path, contents, 0))
    symbols = [{str(row) for row in rows if row[0] != "$d"} for rows in (found[3], expected[3])]  # as not all mark data
    assert symbols[0] == symbols[1]
    assert len(symbols[0]) == 1 + len(contents.parts) + len(contents.section_names)
    assert (*found[:3], *found[4:]) == (*expected[:3], *expected[4:])


def test_the_linked_image_is_the_same_by_either(arch: Arch, tmp_path: Path) -> None:
    rule = find("ksyms", tmp_path)
    objects_ = both(tmp_path, packed(rule, arch, (".text", ".data"), 1), 16)
    (tmp_path / "start.S").write_text(START)
    tool(*ASSEMBLERS[arch.name], "start.S", "-o", "start.o", cwd=tmp_path)
    for number, linker in enumerate(LINKERS[arch.name]):
        images = []
        for path in objects_:
            anchors = [f"--defsym={rule.anchor(n)}=_start" for n in (0, 1)]
            tool(*linker.split(), "../start.o", path.name, *anchors, "-o", f"image{number}", cwd=path.parent)
            images.append((path.parent / f"image{number}").read_bytes())
        assert images[0] == images[1], linker


def test_anchors_are_hidden_symbols_of_an_empty_section(arch: Arch, tmp_path: Path) -> None:
    rule = find("ksyms", tmp_path)
    named = [(rule.anchor(0), ".text"), (rule.anchor(1), ".data")]
    (tmp_path / "anchors.S").write_text(render.anchors(rule, named, tmp_path))
    tool(*ASSEMBLERS[arch.name], "anchors.S", "-o", "assembled.o", cwd=tmp_path)
    (tmp_path / "written.o").write_bytes(objects.anchors(arch, rule, named))
    made, wanted = (said(tmp_path / name, rule.section)[2:] for name in ("written.o", "assembled.o"))
    assert made == wanted


def test_what_takes_several_relocations_is_left_to_the_assembler(tmp_path: Path) -> None:
    rule, riscv = find("ksyms", tmp_path), by_name("riscv64", "tests")
    assert not objects.is_plain(packed(rule, riscv, (".text",), 0))
