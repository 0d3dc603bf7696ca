"""Tables that the kernel's own linker script places, for code that reads from one label of it to another."""

from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug, one_line

KERNEL = """
.globl _start, op
.type _start, @function
_start: {calls}
	ret
.type op, @function
op:	ret
.section .note.GNU-stack, ""
"""
SCRIPT = """
ENTRY(_start)
SECTIONS
{
	. = 0x100000;
	.text : { *(.text*) }
	.rodata : { *(.rodata*) }
	.sites : { sites_start = .; *(.sites) sites_end = .; }
}
"""
RULE = """
name = "sites"
about = "calls of op"
select = { functions = ["op"] }
[table]
section = ".sites"
placed = true
head = false
fields = [{ name = "site", type = "u8", value = "site", base = "zero" }]
"""
CONFIG = '[kernel]\nname = "k.elf"\n[[table]]\nrule = "sites.toml"\n'


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    for name, text in {"k.lds": SCRIPT, "sites.toml": RULE, "buildplug.toml": CONFIG}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def linked(kernel: Path, calls: int, said: str = "") -> int:
    """Links a kernel with so many calls, about which that is said; the bytes between the labels."""
    (kernel / "k.S").write_text(KERNEL.format(calls="call op\n" * calls))
    tool("gcc", "-c", "k.S", cwd=kernel)
    done = buildplug("ld", "--no-warn-rwx-segments", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert (done.returncode, done.stderr) == (0, said)
    at = {name: int(value, 16) for value, _, name in map(str.split, tool("nm", kernel / "k.elf").splitlines())}
    return at["sites_end"] - at["sites_start"]


@pytest.mark.parametrize("calls", [1, 3, 100])
def test_there_is_nothing_but_rows_between_the_labels(kernel: Path, calls: int) -> None:
    assert linked(kernel, calls) == 8 * calls


def test_a_table_that_shrinks_is_linked_anew(kernel: Path) -> None:
    linked(kernel, 7)
    why = "  RELINK  k.elf: rule sites: its table takes 40 bytes, 56 were kept\n"
    assert linked(kernel, 5, why) == 8 * 5


def test_spare_bytes_are_refused(kernel: Path) -> None:
    (kernel / "buildplug.toml").write_text(f"{CONFIG}slack = 64\n")
    (kernel / "k.S").write_text(KERNEL.format(calls="call op"))
    tool("gcc", "-c", "k.S", cwd=kernel)
    done = buildplug("ld", "--no-warn-rwx-segments", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert done.returncode == 1
    assert "table.slack: expected none for rule sites, found 64; drop it" in one_line(done.stderr)
