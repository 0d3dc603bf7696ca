"""Kernels' links with scripts and options that many of them have, each with a table of its symbols."""

import re
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug

pytestmark = pytest.mark.usefixtures("links")

FLAGS = ("-O1", "-ffreestanding", "-fno-pie", "-fcf-protection=none", "-fno-asynchronous-unwind-tables")
KERNEL = """
extern const char bp_ksyms[] __attribute__((visibility("hidden")));
int word = 4;
const char text[] = "text";
int twice(int x) { return 2 * x; }
int _start(void) { return twice(bp_ksyms[3]) + text[word]; }
"""
SECTIONS = """
	.text : { *(.text .text.*) }
	.rodata : { *(.rodata .rodata.*) }
	. = ALIGN(4096);
	.data : { *(.data .data.*) }
	.bss : { *(.bss .bss.*) }
	/DISCARD/ : { *(.comment .note* .eh_frame*) }
"""
SCRIPT = f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SECTIONS} }}"
REGIONS = """
MEMORY { FLASH (rx) : ORIGIN = 0x1000000, LENGTH = 1M  SRAM (rw) : ORIGIN = 0x2000000, LENGTH = 1M }
REGION_ALIAS("CODE", FLASH);
REGION_ALIAS("DATA", SRAM);
ENTRY(_start)
SECTIONS
{
	.text : { *(.text*) } > CODE
	.rodata : { *(.rodata*) } > CODE
	.data : { *(.data*) } > DATA
	.bss : { *(.bss*) } > DATA
	/DISCARD/ : { *(.comment .note* .eh_frame*) }
}
"""
CONFIG = '[kernel]\nname = "k.elf"\n[[table]]\nrule = "ksyms"\n'


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder with a kernel of two functions, its script and a configuration."""
    texts = {"k.c": KERNEL, "k.lds": SCRIPT, "buildplug.toml": CONFIG}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def link(kernel: Path, *words: str, flags: tuple[str, ...] = FLAGS, ld: str = "ld") -> None:
    """Compiles the kernel, and links it with `words`."""
    tool("gcc", *flags, "-c", "k.c", cwd=kernel)
    done = buildplug("ld", "--ld", ld, *words, "-o", "k.elf", "k.o", cwd=kernel)
    assert (done.returncode, re.sub("  RELINK .*\n", "", done.stderr)) == (0, "")


def addresses(kernel: Path) -> dict[str, int]:
    """The symbols that nm lists: name -> address."""
    listed = re.findall(r"^([0-9a-f]+) \S (\S+)$", tool("nm", "k.elf", cwd=kernel), re.MULTILINE)
    return {name: int(address, 16) for address, name in listed}


def assert_found(kernel: Path) -> None:
    """The table has the kernel's functions where nm has them."""
    for name in ("twice", "_start"):
        found = buildplug("ksyms", "k.elf", hex(addresses(kernel)[name] + 1), cwd=kernel)
        assert found.stdout.startswith(f"{name}+0x1/")


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_before_all_sections(kernel: Path, ld: str) -> None:
    (kernel / "k.lds").write_text(SCRIPT.replace(". = 0x100000;", ". = 0x1000; phys = .; phys2 = .; . = 0x100000;"))
    link(kernel, "-T", "k.lds", ld=ld)
    assert_found(kernel)


def test_a_symbol_below_its_section(kernel: Path) -> None:
    (kernel / "p.S").write_text('.globl phys\nphys = _start - 0x80000\n.section .note.GNU-stack, "", @progbits\n')
    tool("gcc", "-c", "p.S", cwd=kernel)
    link(kernel, "-T", "k.lds", "p.o")
    assert_found(kernel)


def test_a_blob_as_last_input(kernel: Path) -> None:
    (kernel / "k.lds").write_text(f"OUTPUT_FORMAT(elf64-x86-64) {SCRIPT}")
    (kernel / "blob").write_text("any bytes\n")
    tool("gcc", *FLAGS, "-c", "k.c", cwd=kernel)
    words = ("-z", "noexecstack", "-T", "k.lds", "-o", "k.elf", "k.o", "-b", "binary", "blob")
    assert buildplug("ld", *words, cwd=kernel).returncode == 0
    assert_found(kernel)


@pytest.mark.parametrize("option", ["-dT", "--default-script"])
def test_a_default_script(kernel: Path, option: str) -> None:
    link(kernel, option, "k.lds")
    assert_found(kernel)


def test_a_default_script_with_a_fragment_that_inserts(kernel: Path) -> None:
    (kernel / "more.lds").write_text("SECTIONS { .more : { more = .; QUAD(1) } } INSERT AFTER .data;")
    link(kernel, "-T", "more.lds", "-dT", "k.lds")
    assert "more" in addresses(kernel)
    assert_found(kernel)


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_aliases_of_memory_regions(kernel: Path, ld: str) -> None:
    (kernel / "k.lds").write_text(REGIONS)
    link(kernel, "-T", "k.lds", ld=ld)
    assert_found(kernel)


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_exported_symbols_are_the_kernels_own(kernel: Path, ld: str) -> None:
    flags = ("-O1", "-ffreestanding", "-fPIE", "-fno-asynchronous-unwind-tables")
    link(kernel, "-pie", "--no-dynamic-linker", "-E", "-T", "k.lds", flags=flags, ld=ld)
    exported = set(re.findall(r"(\S+)$", tool("nm", "-D", "k.elf", cwd=kernel), re.MULTILINE))
    assert "twice" in exported
    assert not [name for name in exported if "bp_" in name]


def test_a_version_script_names_the_image(kernel: Path) -> None:
    (kernel / "versions").write_text("V1 { global: twice; local: *; };\n")
    flags = ("-O1", "-ffreestanding", "-fPIE", "-fno-asynchronous-unwind-tables")
    link(kernel, "-pie", "--no-dynamic-linker", "--version-script=versions", flags=flags)
    assert "k.elf" in tool("readelf", "-VW", "k.elf", cwd=kernel)


def test_what_the_linker_names_after_the_output_is_beside_it(kernel: Path) -> None:
    link(kernel, "--time-trace", "-T", "k.lds", ld="ld.lld")
    assert (kernel / "k.elf.time-trace").exists()


@pytest.mark.parametrize("named", [True, False], ids=["arch in the file", "arch of the first object"])
def test_i386_needs_no_flags_of_the_assembler(kernel: Path, named: bool) -> None:
    if named:
        (kernel / "buildplug.toml").write_text(CONFIG.replace("[[", 'arch = "i386"\n[['))
    link(kernel, "-m", "elf_i386", "-T", "k.lds", flags=(*FLAGS, "-m32"))
    assert_found(kernel)


def test_an_object_in_an_archive_says_the_architecture(kernel: Path) -> None:
    tool("gcc", *FLAGS, "-m32", "-c", "k.c", cwd=kernel)
    tool("ar", "rc", "k.a", "k.o", cwd=kernel)
    words = ("-m", "elf_i386", "-T", "k.lds", "--whole-archive", "k.a", "-o", "k.elf")
    assert buildplug("ld", *words, cwd=kernel).returncode == 0
    assert_found(kernel)


def test_an_object_of_another_architecture_is_named(kernel: Path) -> None:
    header = bytearray(64)
    header[:6], header[18] = b"\x7fELF\2\1", 250  # of no architecture that is registered
    (kernel / "k.o").write_bytes(header)
    done = buildplug("ld", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert done.returncode == 1
    assert "k.o: expected an object of a known architecture, found 64-bit little-endian e_machine 250" in done.stderr
