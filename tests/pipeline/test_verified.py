"""What the proof of an image notices, and tables that are made true of a link that moved code."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.config.ops import read
from buildplug.image.elf import Image
from tests.samples import buildplug, built, edit, one_line


def test_verify_notices_a_false_address_in_a_section_that_moved(kernel: Path, tmp_path: Path) -> None:
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    assert built(kernel)["moved"]
    image = Image(kernel / "build" / "vmlinux")
    section, slot = image.section(".data"), image.address_of("pv_cpu_ops")
    assert slot is not None
    data = bytearray(image.path.read_bytes())
    data[section.offset + slot - section.address] ^= 0x40
    (tmp_path / "false").write_bytes(data)
    failed = buildplug("verify", kernel / "build" / "vmlinux.draft", tmp_path / "false")
    assert failed.returncode == 1
    assert "does not hold what its relocation says" in one_line(failed.stderr)


@pytest.mark.parametrize("arch", ARCHES)
def test_linker_that_moves_data_gets_its_table_rewritten(kernel: Path, arch: str) -> None:
    # The alignment is of a place inside a section that itself may start anywhere: what follows it moves.
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    record = built(kernel, "--arch", arch, "--build-dir", kernel / "build")
    assert record["links"] == 2
    assert record["rewritten"] == ["paravirt", "ksyms", "relocs"]
    assert any(line.startswith(".data") for line in record["moved"])
    build = kernel / "build"
    proved = buildplug("verify", build / "vmlinux.draft", build / "vmlinux")
    assert proved.returncode == 0, proved.stderr
    assert buildplug("verify", build / "vmlinux.draft", build / "vmlinux.relinked").returncode == 1


def add_sites_that_only_the_relink_has(kernel: Path) -> None:
    """A symbol that is an op once the table has grown, and an address in the draft: the true table needs more than the
    room that its size is rounded up to."""
    (kernel / "late.S").write_text(".text\nlate:\n.rept 80\n\tcall pv_late\n.endr\n\tret\n")
    edit(kernel / "buildplug.toml", ('rule = "ksyms"', 'rule = "ksyms"\nslack = 64'))
    edit(
        kernel / "kernel.lds",
        ("/DISCARD/", "pv_late = SIZEOF(.bp_paravirt) > 64 ? pv_io_delay : ABSOLUTE(kernel_start);\n\t/DISCARD/"),
    )


def test_rewritten_table_without_room_is_an_error_that_names_entries_and_the_slack_that_helps(kernel: Path) -> None:
    add_sites_that_only_the_relink_has(kernel)
    failed = buildplug("build", kernel)
    error = one_line(failed.stderr)
    assert failed.returncode == 1
    number = list(read(kernel / "paravirt.toml", X86_64).ops).index("io_delay")
    assert f"table says nothing, image has call of op {number}" in error
    slack = re.search(r"set slack = (\d+) or more", error)
    assert slack
    assert not (kernel / "build" / "vmlinux").exists()
    edit(kernel / "buildplug.toml", ('"paravirt.toml"', f'"paravirt.toml"\nslack = {slack[1]}'))
    assert "paravirt" in built(kernel)["rewritten"]


def flipped(kernel: Path, section: str) -> Path:
    """A copy of the built image with a bit in the middle of a section changed."""
    build = kernel / "build"
    where = Image(build / "vmlinux").section(section)
    data = bytearray((build / "vmlinux").read_bytes())
    data[where.offset + where.size // 2] ^= 4
    (build / "flipped").write_bytes(data)
    return build / "flipped"


@pytest.mark.parametrize(
    ("arch", "section"),
    [*(("x86_64", section) for section in (".text", ".rodata", ".bp_paravirt")), ("i386", ".bp_paravirt")],
)
def test_verify_notices_a_changed_bit(kernel: Path, arch: str, section: str) -> None:
    built(kernel, "--arch", arch, "--build-dir", kernel / "build")
    failed = buildplug("verify", kernel / "build" / "vmlinux.draft", flipped(kernel, section))
    assert failed.returncode == 1
    assert "expected" in one_line(failed.stderr)


def test_verify_of_an_image_without_table_says_so(kernel: Path, tmp_path: Path) -> None:
    built(kernel)
    draft = kernel / "build" / "vmlinux.draft"
    shutil.copy(draft, tmp_path / "stripped")
    subprocess.run(["objcopy", "--strip-symbol=bp_paravirt", tmp_path / "stripped"], check=False, capture_output=True)
    subprocess.run(["strip", tmp_path / "stripped"], check=True)
    failed = buildplug("verify", draft, tmp_path / "stripped")
    assert failed.returncode == 1
    assert "expected a table of a rule that ships, found none" in one_line(failed.stderr)
