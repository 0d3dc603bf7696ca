"""Images without the relocations that the linker kept, beside objcopy's."""

import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.strip import drop
from tests.conftest import Written, tool
from tests.elfwriter import ALLOC, RELA, File, Section

INFO_LINK = 0x40

SOURCE = """
int shared_value = 3;
static const char *const names[] = { "one", "two" };
__attribute__((visibility("default"))) const char *name(int n) { return names[n & 1]; }
int main(int argc, char **argv) { return name(argc)[0] == 't' ? shared_value : 1; }
"""


@pytest.fixture(params=["ld", "lld", "mold"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "main.c").write_text(SOURCE)
    flags = ("-g", "-rdynamic", "-Wl,--emit-relocs", "-Wl,--build-id=none")
    linker = () if request.param == "ld" else (f"-fuse-ld={request.param}",)
    tool("gcc", *linker, *flags, tmp_path / "main.c", "-o", tmp_path / "program")
    return tmp_path / "program"


def described(image: Path, *options: str) -> list[str]:
    """What readelf says of an image, without what only says where in the file things are."""
    said = tool("readelf", "-W", *options, image).splitlines()
    return sorted(line for line in said if not line.startswith(("There are", "File:")))


@pytest.mark.parametrize("options", [("-d", "-r", "-l", "-n"), ("-h",)], ids=str)
def test_readelf_says_the_same_as_of_objcopys(program: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    drop(program, tmp_path / "ours")
    tool("objcopy", "--remove-relocations=*", program, tmp_path / "theirs")
    ours, theirs = (
        [
            line
            for line in described(tmp_path / name, *options)
            if "section head" not in line and "string table" not in line
        ]
        for name in ("ours", "theirs")
    )
    assert ours == theirs


def symbols(image: Path) -> list[tuple[str, ...]]:
    """Name, value, type and the section's name of each symbol, by pyelftools."""
    rows: list[tuple[str, ...]] = []
    with image.open("rb") as file:
        elf = ELFFile(file)
        for table in elf.iter_sections():
            for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
                index = symbol["st_shndx"]
                home = elf.get_section(index).name if isinstance(index, int) else index
                rows.append((table.name, symbol.name, hex(symbol["st_value"]), symbol["st_info"]["type"], home))
    return rows


def test_symbols_are_those_that_were_but_of_the_sections_that_are_gone(program: Path, tmp_path: Path) -> None:
    drop(program, tmp_path / "ours")
    gone = {s.name for s in Image(program).sections} - {s.name for s in Image(tmp_path / "ours").sections}
    assert ".rela.text" in gone
    assert symbols(tmp_path / "ours") == [row for row in symbols(program) if row[-1] not in gone]


def test_sections_have_the_same_content_and_only_relocations_are_gone(program: Path, tmp_path: Path) -> None:
    drop(program, tmp_path / "ours")
    before, after = Image(program), Image(tmp_path / "ours")
    kept = [s for s in before.sections if not s.name.startswith(".rela") or s.alloc]
    assert len(kept) < len(before.sections)
    assert [s.name for s in kept] == [s.name for s in after.sections]
    for old, new in zip(kept, after.sections, strict=True):
        if old.name not in (".symtab", ".dynsym"):
            assert before.bytes_of(old).tobytes() == after.bytes_of(new).tobytes()
    assert not after.has_relocations
    assert (tmp_path / "ours").stat().st_size < program.stat().st_size


def test_program_runs_as_before(program: Path, tmp_path: Path) -> None:
    drop(program, program)
    assert subprocess.run([program], check=False).returncode == 3
    assert subprocess.run([program, "more"], check=False).returncode == 1


def test_image_without_any_stays_what_it_is(program: Path, tmp_path: Path) -> None:
    drop(program, tmp_path / "once")
    drop(tmp_path / "once", tmp_path / "twice")
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_relocations_of_a_section_that_does_not_exist_are_an_error(written: Written) -> None:
    rela = Section(".rela.dyn", bytes(24), type=RELA, flags=ALLOC | INFO_LINK, info=99, entsize=24)
    path = written(File([Section(".text", bytes(16), 0x1000, ALLOC), rela]))
    with pytest.raises(BuildplugError, match="found one to section 99"):
        drop(Image(path).path, path)
