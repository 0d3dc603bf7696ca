"""A relink that was not foreseen says why, in one line; other links say nothing."""

import re
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.linux.versions import STAGES
from tests.conftest import tool
from tests.samples import buildplug

CODE = '.globl _text\n.section .data..ro_after_init, "aw"\n.quad 0\n.text\n_text: nop\n.section .odd, "aw"\n'
DIGITS = "".join(
    f"x{n * 2654435761 % 2**32:08x}: .byte 0\n{'.data' if n % 2 else '.section .odd'}\n" for n in range(8000)
)
SCRIPT = (
    ". = 0xffffffff81000000; .text : { *(.text) } .rodata : { *(.rodata*) *(.data..ro_after_init) }"
    " .data : { *(.data) } .odd ODD : { *(.odd) }"
)
RELINK = "  RELINK  vmlinux: rule linux-kallsyms-6-12: "
CONFIG = ("--config", build_system(STAGES[1].kallsyms))


def link(
    folder: Path, names: range, *words: str | Path, more: str = "", odd: str = "", env: dict[str, str] | None = None
) -> str:
    """Links a kernel with labels of these numbers, and `more` code; what is said on stderr."""
    (folder / "k.S").write_text(CODE + "".join(f"name_{n}_of_many: nop\n" for n in names) + more)
    (folder / "k.lds").write_text(f"ENTRY(_text) SECTIONS {{ {SCRIPT.replace('ODD', odd)} }}")
    tool("as", "-o", "k.o", "k.S", cwd=folder)
    flags = ("-z", "noexecstack", "--no-warn-rwx-segments", "-T", "k.lds", "k.o", "-o", "vmlinux")
    done = buildplug("ld", "--ld", "ld", *words, *flags, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    return done.stderr


def test_a_table_that_outgrows_its_room_says_which_part_by_how_much_and_for_what(tmp_path: Path) -> None:
    for _ in range(2):
        assert link(tmp_path, range(300), *CONFIG) == ""
    said = link(tmp_path, range(1, 700), *CONFIG)
    assert said.startswith(f"{RELINK}kallsyms_offsets takes 3072 bytes, 2048 were kept, kallsyms_names ")
    more = "400 more (name_300_of_many; name_301_of_many; name_302_of_many; …)"
    assert said.endswith(f"; symbols: {more}, 1 fewer (name_0_of_many)\n")
    assert said.count("\n") == 1


def test_a_wrong_guess_says_what_it_was(tmp_path: Path) -> None:
    """The forecast reads no types of sections."""
    said = link(tmp_path, range(300), *CONFIG, more=DIGITS, odd="(NOLOAD)")
    assert re.fullmatch(
        rf"{RELINK}kallsyms_names takes \d+ bytes, \d+ were kept; symbols: \d+ with another letter "
        r"\(name_0_of_many is b, not d; name_100_of_many is b, not d; name_101_of_many is b, not d; …\)\n",
        said,
    )


def test_a_link_that_is_to_be_done_twice_says_nothing(tmp_path: Path) -> None:
    assert link(tmp_path, range(300), *CONFIG, "--relink") == ""
    assert link(tmp_path, range(700), *CONFIG, "--relink") == ""


@pytest.mark.parametrize(
    ("flags", "silent"), [("s", True), ("rRs -j2", True), (" --jobserver-auth=3,4", False), ("k", False)]
)
def test_a_make_that_is_silent_hears_nothing(tmp_path: Path, flags: str, silent: bool) -> None:
    link(tmp_path, range(300), *CONFIG)
    said = link(tmp_path, range(700), *CONFIG, env={"MAKEFLAGS": flags})
    assert (said == "") == silent


def test_a_table_of_another_format_says_its_size(tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text('[kernel]\nname = "vmlinux"\n[[table]]\nrule = "ksyms"\n')
    assert link(tmp_path, range(300)) == ""
    said = link(tmp_path, range(700))
    assert re.fullmatch(r"  RELINK  vmlinux: rule ksyms: its table takes \d+ bytes, \d+ were kept\n", said)
