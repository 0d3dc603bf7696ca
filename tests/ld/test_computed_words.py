"""Words that the linker script computes, as multiboot headers in scripts have them: they change as the table grows."""

import re
import struct
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.ld.test_everyday_links import CONFIG, FLAGS, KERNEL, addresses, assert_found, link
from tests.samples import buildplug, one_line

pytestmark = pytest.mark.usefixtures("relinked")

HEAD = "LONG(0x1badb002)"
SCRIPT = """
ENTRY(_start)
SECTIONS
{{
	. = 0x100000;
	.head : {{ {words} }}
	.text : {{ *(.text*) }}
	.rodata : {{ *(.rodata*) }}
	. = ALIGN(4096);
	.data : AT(ADDR(.data) - 0x80000) {{ *(.data*) }}
	_end = .;
	/DISCARD/ : {{ *(.comment .note* .eh_frame*) }}
}}
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "k.c").write_text(KERNEL + "int unused(void) { return 1; }\n")
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    return tmp_path


def words_of(kernel: Path, words: str, ld: str, kind: str) -> list[int]:
    (kernel / "k.lds").write_text(SCRIPT.format(words=f"{HEAD} {words}"))
    link(kernel, "-T", "k.lds", ld=ld)
    assert_found(kernel)
    content = (kernel / "k.elf").read_bytes()
    at = content.index(struct.pack("<I", 0x1BADB002))
    return list(struct.unpack_from(kind, content, at + 4))


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_addresses_and_distances(kernel: Path, ld: str) -> None:
    found = words_of(kernel, "LONG(_end) QUAD(ADDR(.data)) LONG(_end - _start)", ld, "<IQI")
    at = addresses(kernel)
    assert [found[0], found[2]] == [at["_end"], at["_end"] - at["_start"]]
    assert found[1] <= at["word"]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_load_addresses(kernel: Path, ld: str) -> None:
    [found] = words_of(kernel, "LONG(LOADADDR(.data) + SIZEOF(.data))", ld, "<I")
    assert found == addresses(kernel)["_end"] - 0x80000


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_constant_more(kernel: Path, ld: str) -> None:
    [found] = words_of(kernel, "LONG(_end - 0x12000)", ld, "<I")
    assert found == addresses(kernel)["_end"] - 0x12000


def refused(kernel: Path, *words: str, flags: tuple[str, ...] = FLAGS, ld: str = "ld") -> str:
    tool("gcc", *flags, "-c", "k.c", cwd=kernel)
    return one_line(buildplug("ld", "--ld", ld, *words, "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel).stderr)


def test_what_is_not_understood_is_named_with_both_values(kernel: Path) -> None:
    script = SCRIPT.replace(". = ALIGN(4096);", "").replace("AT(ADDR(.data) - 0x80000) ", "")
    (kernel / "k.lds").write_text(script.format(words=f"{HEAD} LONG(_end * 3)"))
    said = refused(kernel)
    assert re.search(r"\.head: byte \+0x[4-7] was 0x.., is 0x..; .*LONG\(\)", said)
