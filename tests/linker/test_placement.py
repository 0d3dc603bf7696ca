"""Where tables are placed: in scripts of many kinds, and where there is none."""

import re
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.pipeline.run import build
from buildplug.stage.proof import verify
from tests.conftest import tool
from tests.linker.kernels import CFLAGS, FLAGS, KERNEL, SCRIPTS, kernel, loaded_at, mapping, plain
from tests.samples import buildplug, edit


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("kind", FLAGS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_tables_are_loaded_as_they_should_and_the_rest_as_without_them(
    tmp_path: Path, ld: str, kind: str, script: str
) -> None:
    found = mapping(kernel(tmp_path, ld, SCRIPTS[script], FLAGS[kind]))
    without = plain(tmp_path, ld, SCRIPTS[script], FLAGS[kind])
    assert {name: found[name] for name in without} == without
    assert found.keys() - without.keys() == {".bp_irqs", ".bp_hooks"}
    assert [segment[:6] for segment in found[".bp_irqs"]] == ["LOAD R"]
    assert [segment[:7] for segment in found[".bp_hooks"]] == ["LOAD RW"]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("script", ["plain", "segments", "regions"])
def test_no_script_needs_to_name_the_records_that_our_macros_leave(tmp_path: Path, ld: str, script: str) -> None:
    code = '#include "bp_exports.h"\nBP_EXPORT(irq_timer, "TIMERS");\nBP_EXPORT(count, "");' + KERNEL
    flags = ["--orphan-handling=error", "--gc-sections"]
    image = kernel(tmp_path, ld, SCRIPTS[script], flags, table='[[table]]\nrule = "exports"', code=code)
    found = mapping(image)
    assert ".bp_exports" in found
    assert not any(name.startswith(".bp_records") for name in found)
    listed = buildplug("extract", image, "--rule", "exports").stdout.splitlines()
    assert [line.partition("namespace=")[2].split()[0:1] for line in listed] == [[], ["TIMERS"]]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_tables_of_a_kernel_in_the_high_half_are_loaded_low(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["high half"], [])
    for symbol in ("bp_irqs", "bp_hooks"):
        at, load = loaded_at(image, symbol)
        assert at - load == 0xFFFFFFFF80000000


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_tables_go_into_the_regions_of_what_they_stand_behind(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["regions"], ["--fatal-warnings", "--no-warn-rwx-segments"][: 1 + (ld == "ld")])
    assert [address >> 20 for address in loaded_at(image, "bp_irqs")] == [0x10, 0x10]
    assert [address >> 20 for address in loaded_at(image, "bp_hooks")] == [0x20, 0x10]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_linker_that_wraps_the_linker_places_them_in_the_same_way(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, SCRIPTS["regions"], [])
    words = ["--config", "buildplug.toml", "-e", "_start", "--fatal-warnings", "-Tkernel.lds"]
    words += ["--no-warn-rwx-segments"] * (ld == "ld")
    done = buildplug("ld", *words, "build/obj/kernel.c.o", "-o", "vmlinux", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "vmlinux").read_bytes() == image.read_bytes()
    (tmp_path / "vmlinux").unlink()
    (tmp_path / "inner").write_text("-Tkernel.lds")
    (tmp_path / "words").write_text(" ".join("@inner" if word == "-Tkernel.lds" else word for word in words[2:]))
    done = buildplug("ld", *words[:2], "@words", "build/obj/kernel.c.o", "-o", "vmlinux", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "vmlinux").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_table_may_be_told_its_place(tmp_path: Path, ld: str) -> None:
    script = SCRIPTS["segments"].replace("note PT_NOTE", "extra PT_LOAD FLAGS(6); note PT_NOTE")
    found = mapping(kernel(tmp_path, ld, script, [], table='after = ".bss"\ninto = ":extra"'))
    assert found[".bp_hooks"] == ["LOAD RW"]
    order = [line.split()[-1] for line in tool("nm", "-n", tmp_path / "build" / "vmlinux").splitlines()]
    assert order.index("stack") < order.index("bp_hooks")


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_writable_table_may_follow_rodata_where_that_takes_data(tmp_path: Path, ld: str) -> None:
    """As Linux has what is written to until it has booted."""
    code = f'{KERNEL}\nlong once __attribute__((section(".data..once"), used)) = 1;\n'
    script = SCRIPTS["plain"].replace("*(.rodata ", "*(.data..once) *(.rodata ")
    image = kernel(tmp_path, ld, script, [], table='after = ".rodata"', code=code)
    rodata, hooks, data = map(Image(image).section, (".rodata", ".bp_hooks", ".data"))
    assert rodata.flags == hooks.flags
    assert rodata.address < hooks.address < data.address


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_writable_table_is_loaded_as_other_sections_that_a_script_loads_to_be_read(tmp_path: Path, ld: str) -> None:
    """As x86's Linux loads .rodata with .text, and maps both by itself."""
    code = f'{KERNEL}\nlong once __attribute__((section(".data..once"), used)) = 1;\n'
    script = SCRIPTS["segments"].replace("*(.rodata ", "*(.data..once) *(.rodata ")
    found = mapping(kernel(tmp_path, ld, script, [], table='after = ".rodata"\ninto = ":rodata"', code=code))
    assert found[".bp_hooks"] == ["LOAD R"]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_a_writable_table_is_not_loaded_to_be_read_alone(tmp_path: Path, ld: str) -> None:
    with pytest.raises(BuildplugError, match="found it in one of flags R, and it needs RW"):
        kernel(tmp_path, ld, SCRIPTS["segments"], [], table='after = ".rodata"\ninto = ":rodata"')


PIE = ["-pie", "--no-dynamic-linker"]


@pytest.mark.parametrize(
    ("ld", "flags"),
    [
        ("ld", []),
        ("ld", ["--gc-sections"]),
        ("ld.lld", []),
        ("ld.lld", ["--gc-sections"]),
        ("ld.lld", PIE),
        ("ld", PIE),
    ],
)
def test_without_a_script_the_linker_has_its_own(tmp_path: Path, ld: str, flags: list[str]) -> None:
    cflags = CFLAGS.replace("-mcmodel=kernel", "-fpie") if "-pie" in flags else CFLAGS
    found = mapping(kernel(tmp_path, ld, "", flags, cflags=cflags))
    without = plain(tmp_path, ld, "", flags)
    assert {name: found[name] for name in without} == without
    assert [segment[:6] for segment in found[".bp_irqs"]] == ["LOAD R"]
    assert found[".bp_hooks"] == ["LOAD RW"]


def test_verify_notices_a_segment_that_changed_its_flags(tmp_path: Path) -> None:
    final = kernel(tmp_path, "ld", SCRIPTS["segments"], [])
    draft, changed = Image(final.with_name("vmlinux.draft")), bytearray(final.read_bytes())
    rules = [(find(name, tmp_path), None) for name in ("irqs.toml", "hooks.toml")]
    assert verify(draft, Image(final), rules).changed == ()
    offset = int.from_bytes(changed[32:40], "little")
    changed[offset + 4] |= 2  # p_flags of the first
    final.write_bytes(changed)
    assert verify(draft, Image(final), rules).changed == (".text: its segments RX became RWX",)


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_without_a_script_the_relocations_that_are_kept_are_true(tmp_path: Path, ld: str) -> None:
    image = kernel(tmp_path, ld, "", [], table='[[table]]\nrule = "relocs"\nslack = 64')
    edit(
        tmp_path / "hooks.toml",
        ('type = "i4"', 'type = "u8"'),
        ('value = "address"', 'value = "address", base = "zero"'),
    )
    build(tmp_path, None, None)
    rules = ("--rule", "irqs.toml", "--rule", "hooks.toml")
    said = buildplug("verify", *rules, image.with_name("vmlinux.draft"), image, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    starts = {int(row, 16) for row in re.findall(r"PROGBITS +(\w+)", tool("readelf", "-SW", image))}
    anchors = [line.split() for line in tool("nm", image).splitlines() if "__bp_hooks_section_" in line]
    assert anchors
    assert {int(words[0], 16) for words in anchors} <= starts
