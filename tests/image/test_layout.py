"""Two links of one kernel without relocations are compared word by word."""

from pathlib import Path

import pytest

from buildplug.image.compare import Comparison, compare
from buildplug.image.elf import Image
from tests.conftest import tool

LINKERS = ("ld", "ld.lld")
KERNEL = r"""
extern const char table[], table_end[], end[];
int zeros[64], words[16] = {1, 2, 3};
struct { const char *text; int (*call)(int); long distance; } rows[];
static int twice(int n) { return n * 2; }
int other(int n) { words[3] = n; words[0] = 7; return zeros[n & 63] + table[n]; }
__attribute__((noinline)) int _start(int n) {
  switch (n) {
  case 0: return other(n);
  case 1: return rows[n].call(3);
  case 2: return rows[n].text[1];
  case 3: return words[n];
  case 4: return (long)end;
  case 5: return zeros[3]++;
  case 6: return (long)&table[4] + (long)table_end;
  default: return twice(n);
  }
}
typeof(rows[0]) rows[2] = {{"first", twice, (long)0x1122334455667788}, {"second", other, 3}};
"""
SCRIPT = """
SECTIONS {{
	. = 0x100000;
	.head : {{ LONG(end) LONG(end - _start) }}
	.table : {{ table = .; . += {room}; BYTE(0) table_end = .; }}
	.rodata : {{ *(.rodata*) }}
	. = ALIGN(4096);
	.text : {{ *(.text*) }}
	.data : {{ *(.data*) }}
	.bss : {{ *(.bss*) }}
	end = .;
}}
"""


def linked(folder: Path, name: str, ld: str, room: int, *objects: str) -> Path:
    (folder / f"{name}.lds").write_text(SCRIPT.format(room=room))
    tool(ld, "-T", f"{name}.lds", "-e", "_start", *objects, "-o", name, cwd=folder)
    return folder / name


@pytest.fixture(params=LINKERS)
def links(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Two links with a table of another size."""
    (tmp_path / "k.c").write_text(KERNEL)
    flags = ("-O2", "-ffreestanding", "-fno-pie", "-fno-asynchronous-unwind-tables")
    tool("gcc", *flags, "-c", "k.c", cwd=tmp_path)
    draft = linked(tmp_path, "draft", request.param, 0x40, "k.o")
    return draft, linked(tmp_path, "final", request.param, 0x5050, "k.o")


def compared(draft: Path, final: Path) -> Comparison:
    return compare(Image(draft), Image(final), {".table"})


def test_words_may_follow_what_moved(links: tuple[Path, Path]) -> None:
    found = compared(*links)
    assert (found.moved, found.changed) == ((), ())


@pytest.mark.parametrize("name", [".text", ".data", ".rodata"])
def test_every_changed_byte_is_found(links: tuple[Path, Path], name: str) -> None:
    draft, final = Image(links[0]), links[1]
    section, content = Image(final).section(name), final.read_bytes()
    for at in range(section.offset, section.offset + section.size):
        final.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        assert compare(draft, Image(final), {".table"}).changed, at - section.offset


def test_a_word_that_changed_by_the_size_of_a_move_is_called_unproved(links: tuple[Path, Path]) -> None:
    draft, final = links
    before, after = Image(draft), Image(final)
    content = bytearray(final.read_bytes())
    section = after.section(".data")
    at = section.offset + content[section.offset :].index(0x1122334455667788.to_bytes(8, "little"))
    move = section.address - before.section(".data").address
    content[at : at + 8] = (0x1122334455667788 + move).to_bytes(8, "little")
    final.write_bytes(content)
    found = compared(draft, final)
    assert found.changed == ()
    assert found.unproved == (".data: words differ as distances do when sections move",)


def test_an_image_that_lost_its_relocations_is_refused(links: tuple[Path, Path]) -> None:
    draft, final = links
    tool("ld", "-T", "draft.lds", "-e", "_start", "--emit-relocs", "k.o", "-o", "draft", cwd=draft.parent)
    assert compared(draft, final).changed == ("only the draft has relocations",)
